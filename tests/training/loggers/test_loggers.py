"""Each logger is read back through its own library, from what a run and its resumed half have left."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attnlab.cli import run
from attnlab.training.task import Task

SMALL = [
    *["data=reverse", "data.length=3", "data.num_train=16", "data.num_val=8", "data.num_test=8", "data.batch_size=8"],
    *["dim=8", "trainer=cpu", "trainer.max_epochs=2", "trainer.log_every_n_steps=1", "callbacks=none"],
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Trains with a logger, fails after the first of two epochs of two steps, and resumes."""

    def train(logger: str) -> Path:
        path = tmp_path_factory.mktemp("runs") / "first"
        with pytest.MonkeyPatch.context() as patch:

            def fail(self: Task) -> None:
                raise RuntimeError("power failure")

            patch.setattr(Task, "on_train_epoch_end", fail, raising=False)
            words = [*SMALL, f"logger={logger}", f"run_dir={path.parent}", f"hydra.run.dir={path}"]
            assert run(["train", *words]) == 1
        assert run(["resume", str(path)]) == 0
        return path

    return train


@pytest.fixture(autouse=True, scope="module")
def _nothing_at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("MLFLOW", "TRACKIO"))]:
            patch.delenv(name)
        patch.setenv(
            "TRACKIO_DIR", str(tmp_path_factory.mktemp("trackio"))
        )  # before it is imported, which is when it looks
        yield


def summary(path: Path) -> dict[str, Any]:
    return json.loads((path / "summary.json").read_text())


def losses(path: Path) -> list[float]:
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    found = [row["train/loss"] for row in rows if "train/loss" in row]
    assert len(found) == 4
    return found


def test_csv(trained: Callable[[str], Path]) -> None:
    path = trained("csv")
    rows = [
        row for leg in ("csv", "csv_2") for row in csv.DictReader((path / leg / "metrics.csv").read_text().splitlines())
    ]
    assert [float(row["train/loss"]) for row in rows if row.get("train/loss")] == losses(path)
    assert float(rows[-1]["num_parameters"]) == summary(path)["num_parameters"]
    assert "num_symbols" in (path / "csv" / "hparams.yaml").read_text()


def test_tensorboard(trained: Callable[[str], Path]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path = trained("tensorboard")
    events = EventAccumulator(str(path / "tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx(losses(path))
    assert [event.step for event in events.Scalars("train/loss")] == [0, 1, 2, 3]
    assert events.Scalars("test/exact_match")[-1].value == pytest.approx(summary(path)["test/exact_match"])
    assert events.Scalars("baseline/copy_input/accuracy")[-1].value == pytest.approx(
        summary(path)["baseline/copy_input/accuracy"]
    )


def test_mlflow(trained: Callable[[str], Path]) -> None:
    from mlflow.tracking import MlflowClient

    path = trained("mlflow")
    client = MlflowClient(f"sqlite:///{path.parent}/mlflow.db")
    experiment = client.get_experiment_by_name("attnlab")
    assert experiment is not None
    (kept,) = client.search_runs([experiment.experiment_id])
    assert (kept.info.run_name, kept.info.status) == ("first", "FINISHED")
    assert kept.data.params["data/length"] == "3"
    assert kept.data.tags["encoder"] == "lstm"
    history = client.get_metric_history(kept.info.run_id, "train/loss")
    assert [entry.value for entry in sorted(history, key=lambda entry: entry.step)] == losses(path)
    assert kept.data.metrics["test/accuracy"] == summary(path)["test/accuracy"]
    assert kept.data.metrics["num_parameters"] == summary(path)["num_parameters"]


def test_trackio(trained: Callable[[str], Path], capfd: pytest.CaptureFixture[str]) -> None:
    path = trained("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    assert "rackio" not in capfd.readouterr().out
    rows = SQLiteStorage.get_logs("attnlab", "first")
    assert [row["train/loss"] for row in rows if "train/loss" in row] == losses(path)
    assert next(row["test/accuracy"] for row in rows if "test/accuracy" in row) == summary(path)["test/accuracy"]
    assert next(row["num_parameters"] for row in rows if "num_parameters" in row) == summary(path)["num_parameters"]


@pytest.mark.parametrize(
    ("logger", "package"), [("tensorboard", "tensorboard"), ("mlflow", "mlflow"), ("trackio", "trackio")]
)
def test_a_logger_whose_library_is_missing_is_refused(
    logger: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("attnlab.training.loggers.others.find_spec", lambda name: None)
    assert run(["train", *SMALL, f"logger={logger}", f"hydra.run.dir={tmp_path}/first"]) == 2
    message = f"attnlab: logger={logger} needs {package}, which is not installed; pip install 'attnlab[{logger}]'\n"
    assert capsys.readouterr().err == message
