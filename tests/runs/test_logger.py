from __future__ import annotations

from pathlib import Path

import pytest

from attnlab.runs.logger import RunStoreLogger
from attnlab.runs.record import RunRecord
from attnlab.runs.store import read_metrics


@pytest.fixture
def logger(tmp_path: Path) -> RunStoreLogger:
    path = tmp_path / "first"
    return RunStoreLogger(RunRecord.create(path, config_yaml="", overrides=[], choices={}, seed=1))


def test_each_call_adds_a_line_with_step_epoch_and_seconds(logger: RunStoreLogger, tmp_path: Path) -> None:
    logger.log_metrics({"train/loss": 2.5, "epoch": 0}, step=3)
    logger.log_metrics({"val/mae": 0.5, "epoch": 1}, step=7)
    rows = read_metrics(tmp_path / "first")
    assert 0 <= rows[0].pop("time") <= rows[1].pop("time")
    assert rows == [{"step": 3, "epoch": 0, "train/loss": 2.5}, {"step": 7, "epoch": 1, "val/mae": 0.5}]


def test_the_values_that_were_logged_are_not_changed(logger: RunStoreLogger) -> None:
    metrics = {"train/loss": 2.5, "epoch": 4}
    logger.log_metrics(metrics, step=3)
    assert metrics == {"train/loss": 2.5, "epoch": 4}


def test_hyperparameters_are_left_to_the_config(logger: RunStoreLogger, tmp_path: Path) -> None:
    before = sorted(file.name for file in (tmp_path / "first").iterdir())
    logger.log_hyperparams({"dim": 8})
    assert sorted(file.name for file in (tmp_path / "first").iterdir()) == before


def test_the_logger_is_known_by_its_run(logger: RunStoreLogger, tmp_path: Path) -> None:
    assert logger.version == "first"
    assert logger.save_dir == str(tmp_path / "first")
    assert logger.experiment.run_id == "first"
