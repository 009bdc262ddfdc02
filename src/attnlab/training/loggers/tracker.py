"""What a run tells those who stand beside its record, at its beginning and at its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from pytorch_lightning.loggers import Logger
from torch import nn

from attnlab.runs.logger import RunStoreLogger


@runtime_checkable
class Tracker(Protocol):
    """A logger that keeps more of a run than its options and its numbers."""

    def begin(self, model: nn.Module, config: Mapping[str, Any]) -> None: ...

    def log_results(self, summary: Mapping[str, float]) -> None: ...

    def close(self, *, exit_code: int) -> None: ...


def begin(loggers: Iterable[Logger], model: nn.Module, config: Mapping[str, Any]) -> None:
    for logger in _beside(loggers):
        if isinstance(logger, Tracker):
            logger.begin(model, config)
        else:
            logger.log_hyperparams(dict(config))


def log_results(loggers: Iterable[Logger], summary: Mapping[str, float]) -> None:
    """The summary; of it Lightning has logged the test metrics already."""
    rest = {name: float(value) for name, value in summary.items() if not name.startswith("test/")}
    for logger in _beside(loggers):
        if isinstance(logger, Tracker):
            logger.log_results(summary)
        else:
            logger.log_metrics(rest, step=int(summary["steps"]))


def close(loggers: Iterable[Logger], *, exit_code: int) -> None:
    for logger in _beside(loggers):
        if isinstance(logger, Tracker):
            logger.close(exit_code=exit_code)
        else:
            logger.finalize("success" if exit_code == 0 else "failed")


def _beside(loggers: Iterable[Logger]) -> list[Logger]:
    return [logger for logger in loggers if not isinstance(logger, RunStoreLogger)]
