"""The whole life of a run: build, train, test, compare, record. And the same test again from the record."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as L
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from attnlab.batch import Batch
from attnlab.compose import build_model
from attnlab.config import GROUPS, MODEL_GROUPS
from attnlab.data.base import DataModule
from attnlab.errors import UserError, find_refusal
from attnlab.model import Model
from attnlab.runs import record as names
from attnlab.runs.record import RunRecord, write_json
from attnlab.spec import DataSpec
from attnlab.training import report
from attnlab.training.callbacks import ValidateAtTheEnd, answer_and_maps, best_checkpoint, last_checkpoint
from attnlab.training.console import console, quiet_libraries, say
from attnlab.training.examples import described_predictions, example_indices
from attnlab.training.loggers import tracker
from attnlab.training.progress import ProgressLine
from attnlab.training.resume import ResumeState
from attnlab.training.task import Task, load_weights
from attnlab.values import check_values, settle_sites

#: Test examples whose predictions are kept, spread evenly over the test part.
NUM_PREDICTIONS = 64
#: Cells of what the head looked at that are kept beside them.
MAX_MAP_CELLS = 1_000_000
#: The largest dim that `parameters` may ask for.
WIDEST = 8192


def train(cfg: DictConfig, *, path: Path, overrides: list[str], choices: Mapping[str, str | None]) -> dict[str, Any]:
    """Trains one run from a resolved-on-demand config and leaves its record in `path`.

    Returns:
        The summary: test metrics, baselines and costs, by flat names.

    Raises:
        UserError: the input was refused; the record says so too.
    """
    quiet_libraries()
    cfg = settle_sites(cfg)
    if cfg.get("parameters") is not None:
        cfg = with_budget(cfg, choices)
    config = _recordable(cfg)
    record = RunRecord.create(
        path,
        config_yaml=OmegaConf.to_yaml(OmegaConf.create(config)),
        overrides=overrides,
        choices={group: choice for group in GROUPS if (choice := choices.get(group))},
        seed=cfg.seed,
    )
    return complete(OmegaConf.create(config), record)


def complete(cfg: DictConfig, record: RunRecord, *, checkpoint: Path | None = None) -> dict[str, Any]:
    """Trains, tests and compares what a record has begun; from a checkpoint, where one is given, to the end.

    Raises:
        UserError: the input was refused; the record says so too.
    """
    quiet_libraries()
    loggers: list[Logger] = []
    exit_code = 1
    try:
        summary = _train(cfg, record, loggers, checkpoint)
        exit_code = 0
        return summary
    except BaseException as error:  # also Ctrl-C: the record must not claim to be running
        record.fail(find_refusal(error) or error)
        raise
    finally:
        tracker.close(loggers, exit_code=exit_code)


def _train(cfg: DictConfig, record: RunRecord, loggers: list[Logger], checkpoint: Path | None) -> dict[str, Any]:
    check_values(cfg)
    data, task = build(cfg, record)
    if checkpoint is not None and record.meta["data_sha256"] != data.fingerprint():
        raise UserError(
            f"{cfg.data.path} has changed since run {record.run_id} began, so it cannot go on; train it again"
        )
    num_parameters = sum(parameter.numel() for parameter in task.parameters())
    record.update(
        num_parameters=num_parameters,
        data_sha256=data.fingerprint(),
        key_metric=data.key_metric,
        key_mode=data.key_mode,
    )
    for recipe in cfg.logger.values():
        loggers.append(instantiate(recipe)(record))
    extras = [instantiate(recipe)(record, data) for recipe in cfg.callbacks.values()]
    best, state = best_checkpoint(record, data), ResumeState()
    trainer = _trainer(
        cfg,
        logger=loggers,
        callbacks=[
            best,
            last_checkpoint(record),
            state,
            ValidateAtTheEnd(),
            ProgressLine(data, console(), log_every=cfg.trainer.log_every_n_steps),
            *extras,
        ],
        default_root_dir=str(record.path),
        num_sanity_val_steps=0,
    )
    if trainer.world_size > 1:
        raise UserError(
            f"trainer.devices={trainer.world_size} would train on that many devices, which is not supported yet; "
            "use trainer.devices=1"
        )
    record.update(device=_device_name(trainer))
    say(f"run      {report.relative(record.path)}")
    say(f"model    {num_parameters:,} parameters on {_device_name(trainer)}")
    config: Any = OmegaConf.to_container(cfg)
    tracker.begin(loggers, task.model, config)
    try:
        trainer.fit(task, data.train_dataloader(), data.val_dataloader(), ckpt_path=checkpoint, weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt("stopped by the user") from None
    train_seconds, cpu_seconds = state.spent()
    steps = trainer.global_step
    if not best.best_model_path:
        raise UserError(
            f"training ended after {steps} steps without a validation, so there is no best checkpoint; "
            "train for a step at least, and do not set trainer.limit_val_batches=0"
        )
    assert best.best_model_score is not None
    summary = {
        **test(task, data, trainer, record),
        f"val/{data.key_metric}": float(best.best_model_score),
        **_baselines(data),
        "num_parameters": num_parameters,
        "train_seconds": round(train_seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),  # of all threads: the same on a busy machine
        "peak_memory_bytes": _peak_memory(trainer),
        "steps": steps,
    }
    _keep_predictions(task, data, record)
    tracker.log_results(loggers, summary)
    record.finish(summary)
    say(report.results_table(summary, data, record))
    say(report.closing_lines(summary, data, record))
    return summary


def build(cfg: DictConfig, record: RunRecord) -> tuple[DataModule, Task]:
    """Data and an untrained task, from a config; the same seed gives the same weights."""
    L.seed_everything(cfg.seed, verbose=False)
    data: DataModule = instantiate(cfg.data, _convert_="all")
    task = Task(
        model_for(data.spec, cfg, record.meta["choices"]),
        data.metric,
        instantiate(cfg.optimizer, _convert_="all"),
        instantiate(cfg.scheduler, _convert_="all"),
        origin={"schema": names.SCHEMA, "run_id": record.run_id, "data": data.state_dict()},
        log_every=cfg.trainer.log_every_n_steps,
    )
    return data, task


def model_for(spec: DataSpec, cfg: DictConfig, choices: Mapping[str, str]) -> Model:
    """The untrained model that a config describes for a dataset."""
    return build_model(
        spec,
        dim=cfg.dim,
        encoder=instantiate(cfg.encoder, _convert_="all"),
        head=instantiate(cfg.head, _convert_="all"),
        attention=instantiate(cfg.attention, _convert_="all"),
        choices={group: choices[group] for group in MODEL_GROUPS if group in choices},
    )


def with_budget(cfg: DictConfig, choices: Mapping[str, str | None]) -> DictConfig:
    """The config with the dim, a multiple of 4, whose model comes closest to cfg.parameters: equal budgets for rivals.

    The dim takes the place of the budget, so that the record repeats the run as it was.

    Raises:
        UserError: the smallest model has more than twice as many, or the widest too few.
    """
    check_values(cfg)
    L.seed_everything(cfg.seed, verbose=False)
    data: DataModule = instantiate(cfg.data, _convert_="all")
    spec, names_of = data.spec, {group: str(choice) for group, choice in choices.items() if choice}

    def count(dim: int) -> int:
        model = model_for(spec, OmegaConf.merge(cfg, {"dim": dim}), names_of)  # type: ignore[arg-type]
        return sum(parameter.numel() for parameter in model.parameters())

    low, high = 1, 2  # in units of 4; more width is more parameters
    while count(4 * high) < cfg.parameters:
        low, high = high, 2 * high
        if 4 * high > WIDEST:
            raise UserError(f"parameters={cfg.parameters} cannot be met by a dim of up to {WIDEST}; give fewer")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(4 * middle) < cfg.parameters else (low, middle)
    counts = {4 * units: count(4 * units) for units in (low, high)}
    dim = min(counts, key=lambda width: abs(counts[width] - cfg.parameters))
    if counts[dim] > 2 * cfg.parameters:
        raise UserError(
            f"parameters={cfg.parameters} cannot be met: with dim={dim} there are {counts[dim]:,} already; give more"
        )
    return OmegaConf.merge(cfg, {"dim": dim, "parameters": None})  # type: ignore[return-value]


def test(task: Task, data: DataModule, trainer: L.Trainer, record: RunRecord) -> dict[str, float]:
    """The test metrics of the best checkpoint; those of a further test carry its name: test/length_40/accuracy."""
    load_weights(task.model, str(record.path / names.CHECKPOINTS / "best.ckpt"), record.run_id)
    metrics = {}
    for split in ("test", *data.further_tests):
        task.test_name = "test" if split == "test" else f"test/{split}"
        (found,) = trainer.test(task, dataloaders=data.loader(split), verbose=False)
        metrics.update({name: float(value) for name, value in found.items()})
    return metrics


def evaluate(path: Path) -> tuple[dict[str, float], RunRecord, DataModule]:
    """Tests a finished run again, from its record.

    Raises:
        UserError: the record has no checkpoint, or its data have changed.
    """
    quiet_libraries()
    record = RunRecord(path)
    cfg = OmegaConf.load(path / names.CONFIG)
    assert isinstance(cfg, DictConfig)
    data, task = build(cfg, record)
    if record.meta["data_sha256"] != data.fingerprint():
        raise UserError(
            f"{cfg.data.path} has changed since run {record.run_id}, so its test metrics cannot be made again"
        )
    trainer = _trainer(cfg, logger=False, enable_checkpointing=False)
    return test(task, data, trainer, record), record, data


def _trainer(cfg: DictConfig, **own: Any) -> L.Trainer:
    """The trainer of the config, without what attnlab shows and does by itself."""
    trainer: L.Trainer = instantiate(
        cfg.trainer,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,  # the batches are ours
        _convert_="all",
        **own,
    )
    return trainer


@torch.no_grad()
def _baselines(data: DataModule) -> dict[str, float]:
    """Each baseline, judged by the metric of the model on the batches of the model."""
    scores = {}
    for name, baseline in data.baselines().items():
        for split in ("test", *data.further_tests):
            metric = data.metric()
            for batch in data.loader(split):
                metric.update(baseline(batch), batch)
            prefix = f"baseline/{name}/" + ("" if split == "test" else f"{split}/")
            scores.update({prefix + key: float(value.float()) for key, value in metric.compute().items()})
    return scores


@torch.no_grad()
def _keep_predictions(task: Task, data: DataModule, record: RunRecord) -> dict[str, Path]:
    """predictions/ for some test examples, and pictures of a few of them.

    test.npz holds answers beside all fields of the batch, test.json what they mean, and attention.npz the weights
    [examples, queries, items] of the head's sites, the mean over their heads, for the examples that test.json names.
    """
    task.eval()
    indices = example_indices(data, "test", NUM_PREDICTIONS)
    batch = data.source("test")[np.array(indices)]
    answers = task.model.answer(batch.to(task.device)).cpu()
    folder = record.folder(names.PREDICTIONS)
    np.savez_compressed(
        folder / "test.npz",
        predictions=answers.numpy(),
        **{name: value.numpy() for name, value in batch._asdict().items() if value is not None},
    )
    looked = _spread_within_budget(batch)
    _, maps = answer_and_maps(task.model, batch.each(lambda field: field[looked]).to(task.device), "head")
    if maps:
        np.savez_compressed(
            folder / "attention.npz", **{site: weights.mean(1, dtype=np.float32) for site, weights in maps.items()}
        )
    described = described_predictions(data, "test", indices, batch, answers)
    described |= {"padded_length": batch.inputs.shape[1], "looked": looked if maps else []}
    write_json(folder / "test.json", described, indent=None)
    return report.save_figures(task, data, batch, answers, record)


def _spread_within_budget(batch: Batch) -> list[int]:
    """Those of a batch, evenly spread, whose maps of answer steps × input positions are no burden to keep."""
    affordable = MAX_MAP_CELLS // (batch.targets.shape[1] * batch.inputs.shape[1])
    count = max(1, min(batch.num_examples, affordable))
    return sorted({round(place) for place in np.linspace(0, batch.num_examples - 1, count)})


def _recordable(cfg: DictConfig) -> dict[str, Any]:
    """The config as it is kept: resolved, without Hydra's own part, with files named from the root."""
    config: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    path = config["data"].get("path")
    if isinstance(path, str) and ":" not in path:
        config["data"]["path"] = str(Path(path).absolute())
    return dict(config)


def _device_name(trainer: L.Trainer) -> str:
    device = trainer.strategy.root_device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({torch.get_num_threads()} threads)"


def _peak_memory(trainer: L.Trainer) -> int:
    """Bytes: of the GPU where there is one, else of the process."""
    if trainer.strategy.root_device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(trainer.strategy.root_device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
