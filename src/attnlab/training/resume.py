"""A run that was stopped goes on from its last checkpoint, as if it had never been stopped."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from omegaconf import DictConfig, OmegaConf

from attnlab.data.base import ResumableLoader
from attnlab.errors import UserError
from attnlab.runs import record as names
from attnlab.runs.record import RunRecord
from attnlab.runs.store import read_run
from attnlab.training.task import read_checkpoint


class ResumeState(L.Callback):
    """What a checkpoint must hold beside weights, optimizer and progress for a resumed run to equal one that was not.

    The epoch goes on where it was left, and so do the random numbers of dropout and sampling; a stop that was asked for
    stays asked for; the seconds that were spent add up.
    """

    KEY = "attnlab_resume"

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None
        self._began = (0.0, 0.0)
        self._before = [0.0, 0.0]

    def spent(self) -> list[float]:
        """Seconds of training, and of all its threads on the CPU."""
        return [before + now - began for before, now, began in zip(self._before, _clocks(), self._began, strict=True)]

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "fit":
            self._began = _clocks()

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint[self.KEY] = {
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "place": _train_loader(trainer).state_dict(),
            "stop": trainer.should_stop,
            "spent": self.spent(),
        }

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        self._loaded = checkpoint[self.KEY]
        self._before = self._loaded["spent"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Not earlier: making the iterator of the training data draws a random number as well.
        if self._loaded is not None:
            torch.set_rng_state(self._loaded["random"])
            for device, state in enumerate(self._loaded["random_cuda"][: torch.cuda.device_count()]):
                torch.cuda.set_rng_state(state, device)
            # Lightning does this by itself, but not where the number of steps was asked for before, as schedules do.
            _train_loader(trainer).load_state_dict(self._loaded["place"])
            trainer.should_stop = self._loaded["stop"]


def resume(path: Path) -> dict[str, Any]:
    """Goes on with a run in the same record, and returns its summary.

    Raises:
        UserError: it is finished, is still being trained, or has no checkpoint that it could go on from.
    """
    from attnlab.training.run import complete

    status = read_run(path).status
    if status == "finished":
        raise UserError(f"{path} is finished, so nothing is left to train; `attnlab evaluate {path}` tests it again")
    if status == "running":
        raise UserError(f"{path} is still being trained; stop it first, or wait until it is finished")
    if status == "broken":
        raise UserError(f"{path} is broken: meta.json or summary.json cannot be read; train it again")
    checkpoint = path / names.CHECKPOINTS / "last.ckpt"
    if not checkpoint.is_file():
        raise UserError(
            f"{path} stopped before its first validation and has no checkpoint to go on from; train it again"
        )
    content = read_checkpoint(str(checkpoint), path.name)
    if ResumeState.KEY not in content:
        raise UserError(f"{checkpoint} was written by an attnlab that could not resume; train the run again")
    config = OmegaConf.load(path / names.CONFIG)
    assert isinstance(config, DictConfig)
    record = RunRecord.reopen(path, steps=content["global_step"])
    logging.basicConfig(filename=path / names.LOG, level=logging.INFO, force=True)
    return complete(config, record, checkpoint=checkpoint)


def _train_loader(trainer: L.Trainer) -> ResumableLoader:
    loader = trainer.train_dataloader
    assert isinstance(loader, ResumableLoader)
    return loader


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.process_time()
