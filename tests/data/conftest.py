"""Small tables, written where a test can spoil them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from attnlab.data import Forecasting

Write = Callable[..., str]
MakeForecasting = Callable[..., Forecasting]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Puts text or bytes into a file, compressed where its name says so, and returns its path."""

    def _write(content: str | bytes, name: str = "table.csv") -> str:
        path = tmp_path / name
        raw = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return str(path)

    return _write


@pytest.fixture
def forecasting() -> MakeForecasting:
    """A Forecasting on a table whose time stamps stand in `date`, with windows of 3 rows that forecast 2."""

    def _make(path: str, **options: Any) -> Forecasting:
        usual: dict[str, Any] = {
            "time": "date",
            "targets": None,
            "categorical": [],
            "ignore": [],
            "lookback": 3,
            "horizon": 2,
            "season": 2,
            "split": [0.5, 0.25, 0.25],
            "batch_size": 4,
            "seed": 0,
        }
        return Forecasting(path=path, **{**usual, **options})

    return _make


@pytest.fixture
def hourly() -> Callable[..., str]:
    """CSV text: a header, and rows of entries behind an hourly `date`."""

    def _hourly(header: str, rows: list[str]) -> str:
        start = datetime(2020, 2, 28)
        lines = [f"{start + timedelta(hours=hour)},{row}" for hour, row in enumerate(rows)]
        return "\n".join([f"date,{header}", *lines]) + "\n"

    return _hourly
