"""What a person sees while a model trains."""

from __future__ import annotations

import math
import time
from typing import Any

import pytorch_lightning as L
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from attnlab.data.base import DataModule


class ProgressLine(L.Callback):
    """Loss, validation metric and remaining time: a bar on a terminal, a line per validation elsewhere.

    Args:
        data: says which metric matters.
        log_every: steps between two looks at the loss.
    """

    def __init__(self, data: DataModule, console: Console, *, log_every: int) -> None:
        self.log_every = log_every
        self.metric = f"val/{data.key_metric}"
        self.console = console
        self.bar: Progress | None = None
        self.loss = math.nan
        self.best = "–"
        self.started = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.started = time.monotonic()
        self.first_step = trainer.global_step
        if self.console.is_terminal:
            self.bar = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("steps · {task.fields[news]} ·"),
                TimeElapsedColumn(),
                TextColumn("gone ·"),
                TimeRemainingColumn(),
                TextColumn("left"),
                console=self.console,
            )
            self.bar.start()
            self.task = self.bar.add_task("", total=trainer.estimated_stepping_batches, news="")

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.log_every == 0:
            self.loss = float(outputs["loss"])
        if self.bar is not None:
            self.bar.update(self.task, completed=trainer.global_step, news=self._news())

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        value = trainer.callback_metrics.get(self.metric)
        if value is None or trainer.sanity_checking:
            return
        self.best = f"{float(value):.4f}"
        if self.bar is None:
            done = trainer.global_step - self.first_step
            gone = time.monotonic() - self.started
            left = gone / max(1, done) * (trainer.estimated_stepping_batches - trainer.global_step)
            self.console.print(
                f"step {trainer.global_step}/{int(trainer.estimated_stepping_batches)} · {self._news()} · "
                f"{clock(gone)} gone · {clock(left)} left"
            )

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _news(self) -> str:
        loss = "–" if math.isnan(self.loss) else f"{self.loss:.4f}"
        return f"train/loss {loss} · {self.metric} {self.best}"


def clock(seconds: float) -> str:
    """75 → "1:15"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
