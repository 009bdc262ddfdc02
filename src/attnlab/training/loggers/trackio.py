"""Trackio beside the run record: local and free of accounts. Lightning has no logger for it."""

from __future__ import annotations

import contextlib
import io
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers import Logger
from torch import nn

from attnlab.runs.record import RunRecord
from attnlab.training.loggers.others import require


class TrackioLogger(Logger):
    """A Trackio run under the record's name, in TRACKIO_DIR; `trackio show` opens it. A resumed record continues it."""

    def __init__(self, record: RunRecord, *, project: str) -> None:
        require("trackio", "trackio")
        import trackio

        super().__init__()
        self._record = record
        self._project = project
        with contextlib.redirect_stdout(io.StringIO()):  # it explains itself at length
            self._run = trackio.init(
                project=project,
                name=record.run_id,
                group="_".join(record.meta["choices"][part] for part in ("data", "encoder", "attention")),
                resume="allow" if record.resumed else "never",
                embed=False,
            )

    @property
    def name(self) -> str:
        return self._project

    @property
    def version(self) -> str:
        return self._record.run_id

    @property
    def experiment(self) -> Any:
        return self._run

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        self._run.config.update(params if isinstance(params, dict) else vars(params))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._run.log(dict(metrics), step=step)

    # Not `finalize`: Lightning calls that after training, and the test is still to come.

    def begin(self, model: nn.Module, config: Mapping[str, Any]) -> None:
        self.log_hyperparams(dict(config))

    def log_results(self, summary: Mapping[str, float]) -> None:
        self.log_metrics({name: value for name, value in summary.items() if not name.startswith("test/")})

    def close(self, *, exit_code: int) -> None:
        import trackio

        with contextlib.redirect_stdout(io.StringIO()):
            trackio.finish()
