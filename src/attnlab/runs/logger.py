"""Lightning's metrics → metrics.jsonl, one object a line."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers.logger import Logger

from attnlab.runs.record import METRICS, RunRecord


class RunStoreLogger(Logger):
    """Appends {"step": …, "epoch": …, "time": seconds since the start, "val/mae": …}. Always on.

    The time of a resumed run goes on from its last line: the pause does not count.
    """

    def __init__(self, record: RunRecord) -> None:
        super().__init__()
        self._record = record
        self._started = time.monotonic() - record.last_time()

    @property
    def name(self) -> str:
        return ""

    @property
    def version(self) -> str:
        return self._record.run_id

    @property
    def experiment(self) -> RunRecord:
        return self._record

    @property
    def save_dir(self) -> str:
        return str(self._record.path)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """config.yaml holds them already."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        values = dict(metrics)
        epoch = int(values.pop("epoch", 0))
        row = {"step": step, "epoch": epoch, "time": round(time.monotonic() - self._started, 3), **values}
        with open(self._record.path / METRICS, "a") as file:
            file.write(json.dumps(row) + "\n")
