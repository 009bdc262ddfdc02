"""What happens beside the training loop. Recipes from conf/callbacks are called with (record, data)."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as L
import torch
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn

from attnlab.attention import Attended, Attention
from attnlab.attention.recorder import record_attention
from attnlab.config import near_miss
from attnlab.data.base import DataModule
from attnlab.errors import UserError
from attnlab.runs import record as names
from attnlab.runs.record import RunRecord, write_json
from attnlab.training.examples import answer_descriptions, example_indices, examples, input_descriptions, kinds


class RecordCheckpoint(ModelCheckpoint):
    """A checkpoint of a record, which may have been moved between stopping and going on.

    Lightning forgets which checkpoint was the best, and how good it was, where the folder has another name now.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def here(path: str) -> str:
            return str(Path(str(self.dirpath), Path(path).name)) if path else path

        super().load_state_dict(
            {
                **state_dict,
                "dirpath": self.dirpath,
                "best_k_models": {here(path): score for path, score in state_dict["best_k_models"].items()},
                **{name: here(state_dict[name]) for name in state_dict if name.endswith("_model_path")},
            }
        )


def best_checkpoint(record: RunRecord, data: DataModule) -> ModelCheckpoint:
    """best.ckpt by the validation metric of the data."""
    return RecordCheckpoint(
        dirpath=record.path / names.CHECKPOINTS,
        filename="best",
        monitor=f"val/{data.key_metric}",
        mode=data.key_mode,
        auto_insert_metric_name=False,
        enable_version_counter=False,
        save_on_train_epoch_end=False,  # but when validation ends: see last_checkpoint
    )


def last_checkpoint(record: RunRecord) -> ModelCheckpoint:
    """last.ckpt after every validation. Lightning's save_last writes one only where the best has changed as well.

    Always when validation ends, also at the end of an epoch: resumed from there, an epoch ends and begins as usual, and
    draws the random numbers that it always draws.
    """
    return RecordCheckpoint(
        dirpath=record.path / names.CHECKPOINTS,
        filename="last",
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )


def early_stopping(record: RunRecord, data: DataModule, *, patience: int) -> EarlyStopping:
    """Ends training when the validation metric has not improved for `patience` validations."""
    return EarlyStopping(
        monitor=f"val/{data.key_metric}", mode=data.key_mode, patience=patience, check_on_train_epoch_end=False
    )


def solved(record: RunRecord, data: DataModule, *, threshold: float) -> EarlyStopping:
    """Ends training as soon as the validation metric is better than `threshold`: there is nothing left to choose by."""
    return EarlyStopping(
        monitor=f"val/{data.key_metric}",
        mode=data.key_mode,
        stopping_threshold=threshold,
        patience=sys.maxsize,
        check_on_train_epoch_end=False,
    )


class ValidateAtTheEnd(L.Callback):
    """Validates after the last step also where trainer.max_steps ends training in the middle of an epoch.

    Lightning would stop without a look, and the best checkpoint would miss the last steps, or not exist at all.
    """

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True  # a stop that was asked for is validated first


class DelayedAttention(L.Callback):
    """Training without attention at first: sites return contexts of zeros for the first part of all steps.

    Phan et al. 2025, arXiv:2510.00258 (delayed attention training): a recurrent network that may attend from the start
    learns shortcuts that do not hold for longer sequences. While a site is off it is so for validation too, its
    parameters have no gradient and stay as they are, and weights that are recorded there are used by nobody. When it
    is switched on, what was chosen before (the best checkpoint, the patience of early stopping) is forgotten: it
    belongs to another model, and the test has attention.

    Args:
        start: the share of all steps after which attention is switched on, above 0 and below 1.
        sites: names of the sites that are delayed, as in the attention maps; None for all.

    Raises:
        UserError: no such share or site; a site whose weights are the answer; or training that ends before the switch.
    """

    def __init__(self, record: RunRecord, data: DataModule, *, start: float, sites: list[str] | None = None) -> None:
        if not 0 < start < 1:
            raise UserError(
                f"callbacks.delayed_attention.start={start} must be above 0 and below 1, a share of all steps"
            )
        self.start = start
        self.names = sites
        #: Those that are off.
        self.silent: list[Attention] = []
        self.first_step = 0
        self.unchosen: list[tuple[L.Callback, dict[str, Any]]] = []

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "fit":
            self.sites = delayed_sites(pl_module.model, self.names)  # type: ignore[arg-type]
            self.unchosen = [
                (callback, copy.deepcopy(callback.state_dict()))
                for callback in trainer.callbacks  # type: ignore[attr-defined]
                if isinstance(callback, ModelCheckpoint | EarlyStopping) and callback.monitor is not None
            ]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.first_step = int(self.start * trainer.estimated_stepping_batches)
        if trainer.global_step < self.first_step:
            for site in self.sites:
                silence(site)
            self.silent = self.sites

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        if self.silent and trainer.global_step >= self.first_step:
            self._switch_on()
            for callback, state in self.unchosen:
                callback.load_state_dict(copy.deepcopy(state))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.silent:
            self._switch_on()
            raise UserError(
                f"training ended after {trainer.global_step} steps, and attention was to be switched on after "
                f"{self.first_step}; lower callbacks.delayed_attention.start, or leave out what ended training"
            )

    def _switch_on(self) -> None:
        for site in self.silent:
            del site.attend
        self.silent = []


def delayed_sites(model: nn.Module, chosen: list[str] | None) -> list[Attention]:
    """The sites of these names; all where none are given.

    Raises:
        UserError: there is none, none of a name, or one whose weights are the answer.
    """
    option = "callbacks.delayed_attention.sites"
    found = {name: module for name, module in model.named_modules() if isinstance(module, Attention) and module.attends}
    if not found:
        raise UserError(
            "callbacks=delayed_attention has nothing to delay: no part of this model attends; choose callbacks=default"
        )
    for name in chosen or []:
        if name not in found:
            raise UserError(f"{option} names {name}, which is no site of this model; {near_miss(name, found)}")
    delayed = list(found) if chosen is None else chosen
    if not delayed:
        raise UserError(f"{option}=[] delays nothing; name some of {', '.join(found)}, or say null for all")
    for name in delayed:
        if found[name].context_dim == 0:
            others = [other for other in found if found[other].context_dim]
            advice = f"use {option}=[{','.join(others)}]" if others else "choose callbacks=default"
            raise UserError(f"the weights of {name} are the answer itself and cannot be delayed; {advice}")
    return [found[name] for name in delayed]


def silence(site: Attention) -> None:
    """Lets a site return contexts of zeros, however it is called, until its own `attend` is deleted again."""
    attend = site.attend

    def silent(*args: Any, **kwargs: Any) -> Attended:
        attended = attend(*args, **kwargs)
        return attended._replace(context=torch.zeros_like(attended.context))  # 0 times inf would be NaN

    site.attend = silent  # type: ignore[method-assign]


class AttentionMaps(L.Callback):
    """Stores the weights of every site for a few fixed validation examples: attention/epoch_003.npz.

    Each array is named by its site and is [examples, heads, queries, items]. Where a site is called once per step, its
    calls stand below each other, and items that did not exist yet have weight 0. What the examples read stands in
    attention/examples.json, what the model answered to them in attention/epoch_003.json.

    Args:
        num_examples: evenly spaced over the validation part.
        draw: whether the last maps of the first example are drawn as well, each site with tokens, dates or cities on
            its axes: plots/attention_head.attention.png.
    """

    def __init__(self, record: RunRecord, data: DataModule, *, num_examples: int, draw: bool = False) -> None:
        self.record = record
        self.data = data
        self.num_examples = num_examples
        self.draw = draw

    @rank_zero_only
    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        indices = example_indices(self.data, "val", self.num_examples)
        batch = self.data.source("val")[np.array(indices)].to(pl_module.device)
        answers, maps = answer_and_maps(pl_module.model, batch)
        if not maps:
            return
        folder = self.record.folder(names.ATTENTION)
        described = folder / "examples.json"
        if not described.exists():
            inputs = input_descriptions(self.data, "val", indices)
            shared = {"split": "val", "input": kinds(self.data)[0], "padded_length": batch.inputs.shape[1]}
            shared["first_items"] = self.data.first_items
            if pl_module.model.encoder.of_variables:  # type: ignore[union-attr]
                shared["variables"] = self.data.variable_labels()
            write_json(described, {**shared, "examples": inputs}, indent=None)
        path = folder / f"epoch_{trainer.current_epoch:03d}.npz"
        said = answer_descriptions(self.data, "val", indices, answers)
        write_json(path.with_suffix(".json"), {"step": trainer.global_step, "said": said}, indent=None)
        np.savez_compressed(path, **maps)  # type: ignore[arg-type]

    @rank_zero_only
    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.draw:
            self.save_pictures(pl_module)

    @torch.no_grad()
    def save_pictures(self, pl_module: L.LightningModule) -> None:
        """Draws every site's weights for the first of the examples."""
        from attnlab.plots.figures import attention_charts  # the drawing library takes a while to import

        batch = examples(self.data, "val", 1).to(pl_module.device)
        model: Any = pl_module.model
        maps = attention_maps(model, batch)
        model.eval()
        answer = model.answer(batch)[0].cpu()
        charts = attention_charts(
            self.data,
            maps,
            "val",
            0,
            answer,
            length=batch.inputs.shape[1],
            of_variables=model.encoder.of_variables,
        )
        for site, chart in charts.items():
            chart.save(str(self.record.folder(names.PLOTS) / f"attention_{site}.png"), scale_factor=1.5)


def attention_maps(model: Any, batch: Any) -> dict[str, np.ndarray]:
    """The weights of every site while the model answers a batch: site → [B, H, Q, K] in float16.

    A site that is called several times with many queries each, such as a level of a tree, has a map for each call:
    encoder.up, encoder.up#2 …
    """
    return answer_and_maps(model, batch)[1]


@torch.no_grad()
def answer_and_maps(model: Any, batch: Any, part: str = "") -> tuple[Tensor, dict[str, np.ndarray]]:
    """The answer to a batch, and the maps of all sites below a part of the model, such as head."""
    training = model.training
    model.eval()
    with record_attention(model.get_submodule(part)) as found:
        answer = model.answer(batch)
    model.train(training)
    recorded = {f"{part}.{site}" if part else site: calls for site, calls in found.items()}
    maps: dict[str, np.ndarray] = {}
    for site, calls in recorded.items():
        calls = [_by_example(weights, batch.num_examples) for weights in calls]
        if all(weights.shape[2] == 1 for weights in calls):
            calls = [_below_each_other(calls)]
        for number, weights in enumerate(calls, start=1):
            maps[site if number == 1 else f"{site}#{number}"] = weights.half().cpu().numpy()
    return answer, maps


def _by_example(weights: Tensor, num_examples: int) -> Tensor:
    """Where each example was cut into blocks, [B·blocks, H, Q, K] → [B, H, blocks·Q, K]."""
    blocks = weights.shape[0] // num_examples
    if blocks <= 1:
        return weights
    return weights.unflatten(0, (num_examples, blocks)).transpose(1, 2).flatten(2, 3)


def _below_each_other(calls: list[Tensor]) -> Tensor:
    widest = max(weights.shape[-1] for weights in calls)
    return torch.cat([torch.nn.functional.pad(weights, (0, widest - weights.shape[-1])) for weights in calls], dim=2)
