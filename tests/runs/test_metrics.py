from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attnlab.data.base import DataModule
from attnlab.errors import UserError
from attnlab.runs.metrics import best_end, key_metric
from attnlab.runs.store import RunSummary


def run(summary: dict[str, float], **meta: Any) -> RunSummary:
    return RunSummary(Path("r"), "finished", meta, summary)


def every(cls: type) -> list[type]:
    return [cls, *(deeper for below in cls.__subclasses__() for deeper in every(below))]


def test_the_record_names_the_key_metric() -> None:
    assert key_metric(run({"val/loss": 1.0}, key_metric="mae")) == "test/mae"


def test_an_older_record_shows_it_by_its_only_validation_metric() -> None:
    assert key_metric(run({"val/gap": 0.1, "test/gap": 0.2, "test/accuracy": 0.5})) == "test/gap"
    assert key_metric(run({"val/gap": 0.1, "val/accuracy": 0.2})) is None
    assert key_metric(run({})) is None


def test_what_the_data_say_of_their_key_metric_comes_before_its_name() -> None:
    odd = run({}, key_metric="odd", key_mode="max")
    assert best_end("test/odd", odd) == "max"
    assert best_end("test/length_40/odd", odd) == "max"
    with pytest.raises(UserError, match="nothing says whether more or less of test/even is better"):
        best_end("test/even", odd)


@pytest.mark.parametrize(
    ("metric", "end"),
    [
        ("test/length_40/exact_match", "max"),
        ("test/mae_raw/accuracy", "min"),  # the error of a variable that is called accuracy
        ("peak_memory_bytes", "min"),
    ],
)
def test_other_metrics_are_known_by_name(metric: str, end: str) -> None:
    assert best_end(metric, run({})) == end


def test_names_say_of_every_key_metric_what_the_data_say() -> None:
    judged = {(cls.key_metric, cls.key_mode) for cls in every(DataModule) if hasattr(cls, "key_metric")}
    assert len(judged) >= 4
    for metric, mode in judged:
        assert best_end(f"test/{metric}", run({})) == mode
