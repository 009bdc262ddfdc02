"""Weights & Biases beside the run record, online where it can be and offline where it cannot."""

from __future__ import annotations

import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb
from pytorch_lightning.loggers import WandbLogger
from torch import nn

from attnlab.runs import record as names
from attnlab.runs.record import RunRecord
from attnlab.training.console import say
from attnlab.training.loggers import wandb_media as media

#: Seconds to wait for an answer from the W&B server; the library alone waits about a hundred.
PATIENCE = 8.0


class WandbRun(WandbLogger):
    """A W&B run of its own for each run record, under the same name; a resumed record continues its W&B run.

    With WANDB_API_KEY it is online, unless the server does not answer; without, offline, and nobody is asked anything.
    WANDB_MODE, where it is set, decides.

    Args:
        group: null: the sweep that the run belongs to; alone, its data, encoder and attention.
        job_type: null: within a sweep its data, encoder and attention, so that seeds stand together; else "train".
        gradients: whether histograms of all gradients are logged.
        save_dir: parent of wandb/, where offline runs wait.
    """

    def __init__(
        self,
        record: RunRecord,
        *,
        project: str,
        entity: str | None,
        group: str | None,
        job_type: str | None,
        tags: Sequence[str],
        notes: str | None,
        gradients: bool,
        save_dir: str,
    ) -> None:
        mode: Any = os.environ.get("WANDB_MODE") or _mode()
        folder = Path(save_dir).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        choices = record.meta["choices"]
        cell = "_".join(choices[part] for part in ("data", "encoder", "attention"))
        sweep = os.environ.get("WANDB_RUN_GROUP")
        # We begin the run ourselves: Lightning would pass an option that W&B warns about.
        run = wandb.init(
            name=record.run_id,
            id=record.meta.get("wandb_id"),
            resume="allow" if record.resumed else None,
            project=project,
            entity=entity,
            group=group or sweep or cell,
            job_type=job_type or (cell if sweep else "train"),
            tags=list(tags),
            notes=notes,
            dir=str(folder),
            mode=mode,
            settings=wandb.Settings(silent=True),  # what to type next is said by us, at the end
        )
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        record.update(wandb_id=run.id)
        super().__init__(experiment=run)
        self._record = record
        self._gradients = gradients

    def begin(self, model: nn.Module, config: Mapping[str, Any]) -> None:
        """The config, the dataset that the run uses, and from here on its gradients, if they were asked for."""
        self.experiment.config.update(dict(config), allow_val_change=True)
        self._use(_dataset(self._record, config["data"]))
        if self._gradients:
            every = config["trainer"]["log_every_n_steps"] * config["trainer"]["accumulate_grad_batches"]
            self.experiment.watch(model, log="gradients", log_freq=every)

    def log_results(self, summary: Mapping[str, float]) -> None:
        """What the finished record holds: pictures, tables, the best checkpoint, predictions, the summary."""
        run, record = self.experiment, self._record
        run.log(media.figures(record.path) | media.heat_maps(record.path) | media.tables(record.path))
        facts = {**record.meta["choices"], "seed": record.meta["seed"], **summary}
        model = [record.path / names.CHECKPOINTS / "best.ckpt", record.path / names.CONFIG]
        predictions = sorted((record.path / names.PREDICTIONS).iterdir())
        for kind, files in (("model", model), ("predictions", predictions)):
            artifact = wandb.Artifact(f"{kind}-{record.run_id}", kind, metadata=facts)
            for file in files:
                artifact.add_file(
                    str(file), policy="immutable"
                )  # the record is final: no second copy until it is uploaded
            run.log_artifact(artifact, aliases=["latest", "best"])
        run.summary.update(dict(summary))

    def close(self, *, exit_code: int) -> None:
        """Ends the W&B run, so that the next job of a sweep gets its own."""
        run = self.experiment
        offline = run.settings._offline
        folder = os.path.relpath(run.dir + "/../../..")
        run.finish(exit_code=exit_code)
        if offline:
            where = "" if folder == "runs" else f" run_dir={folder}"
            say(f"W&B      offline; to upload it later: attnlab sync{where}")

    def _use(self, dataset: wandb.Artifact) -> None:
        run = self.experiment
        if run.settings._offline:
            # Run.use_artifact insists on a server and then does just this; uploading later makes the link.
            run._log_artifact(dataset, is_user_created=True, use_after_commit=True)
        else:
            run.use_artifact(dataset)


def _dataset(record: RunRecord, config: Mapping[str, Any]) -> wandb.Artifact:
    """Which data: their options, and the fingerprint of their file. Runs on the same data use the same version."""
    options = {name: value for name, value in config.items() if name != "batch_size"}
    facts = {"choice": record.meta["choices"]["data"], "sha256": record.meta["data_sha256"], "options": options}
    dataset = wandb.Artifact(f"data-{facts['choice']}", "dataset", metadata=facts)
    with dataset.new_file("dataset.json", encoding="utf-8") as file:
        json.dump(facts, file, indent=2, sort_keys=True)
    return dataset


def _mode() -> str:
    if not os.environ.get("WANDB_API_KEY"):
        return "offline"
    if answers(server(), PATIENCE):
        return "online"
    say(f"W&B      {server()} does not answer; this run is logged offline")
    return "offline"


def server() -> str:
    return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")


def answers(server: str, patience: float) -> bool:
    """Whether an HTTP server says anything at all within `patience` seconds, name look-up included."""
    heard: list[Any] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(server, timeout=patience).close()  # honours HTTPS_PROXY
        except urllib.error.HTTPError:
            heard.append(True)  # an error page is an answer
        except (OSError, ValueError):
            return
        heard.append(True)

    asking = threading.Thread(target=ask, daemon=True)  # a name look-up knows no timeout of its own
    asking.start()
    asking.join(patience)
    return bool(heard)
