from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from attnlab.cli import run
from attnlab.runs.record import RunRecord
from attnlab.runs.store import read_metrics
from attnlab.training.task import Task

#: Four batches an epoch, and dropout: what a resumed run sees depends on the place in the epoch and on random numbers.
SMALL = [
    *["data=reverse", "data.length=3", "data.num_symbols=3", "data.num_train=30", "data.num_val=8", "data.num_test=8"],
    *["data.batch_size=8", "dim=8", "encoder=transformer", "encoder.num_layers=1", "trainer=cpu"],
    *["trainer.max_epochs=3", "trainer.log_every_n_steps=1", "optimizer.lr=0.01"],
]
COSTS = ("train_seconds", "cpu_seconds", "peak_memory_bytes")


class PowerFailure(Exception):
    pass


def train(path: Path, *overrides: str) -> None:
    assert run(["train", *SMALL, *overrides, f"hydra.run.dir={path}"]) == 0


def train_until(step: int, path: Path, *overrides: str) -> None:
    """Fails when it is about to make a step after so many."""
    with pytest.MonkeyPatch.context() as patch:
        make_step = Task.training_step

        def step_or_fail(self: Task, batch: Any, batch_idx: int) -> Any:
            if self.global_step == step:
                raise PowerFailure
            return make_step(self, batch, batch_idx)

        patch.setattr(Task, "training_step", step_or_fail)
        assert run(["train", *SMALL, *overrides, f"hydra.run.dir={path}"]) == 1


def rows(path: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert [row["time"] for row in found] == sorted(row["time"] for row in found)
    return [{key: value for key, value in row.items() if key != "time"} for row in found]


def summary(path: Path) -> dict[str, Any]:
    content = json.loads((path / "summary.json").read_text())
    return {key: value for key, value in content.items() if key not in COSTS}


def weights(path: Path, name: str) -> dict[str, torch.Tensor]:
    return torch.load(path / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize(
    ("step", "overrides"),
    [
        pytest.param(4, [], id="at the beginning of an epoch"),
        pytest.param(10, [], id="within an epoch", marks=pytest.mark.slow),
        pytest.param(
            6, ["trainer.val_check_interval=3"], id="after a validation within an epoch", marks=pytest.mark.slow
        ),
        pytest.param(8, ["trainer.val_check_interval=3"], id="after a validation within the second epoch"),
        pytest.param(
            5,
            ["trainer.limit_train_batches=2", "trainer.max_epochs=6"],
            id="epochs that are cut short",
            marks=pytest.mark.slow,
        ),
        pytest.param(9, ["trainer.max_steps=11"], id="a last epoch that is cut short", marks=pytest.mark.slow),
        pytest.param(10, ["attention/normalizer=gumbel"], id="attention that is drawn", marks=pytest.mark.slow),
        pytest.param(
            6,
            ["trainer.accumulate_grad_batches=2", "trainer.max_epochs=4"],
            id="gradients that add up",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            10, ["callbacks=early_stopping", "callbacks.early_stopping.patience=2", "optimizer.lr=0"], id="patience"
        ),
        pytest.param(
            6,
            ["callbacks=delayed_attention", "callbacks.delayed_attention.start=0.6"],
            id="delay to come",
            marks=pytest.mark.slow,
        ),
        pytest.param(10, ["callbacks=delayed_attention", "callbacks.delayed_attention.start=0.6"], id="delay gone"),
    ],
)
def test_a_resumed_run_equals_one_that_was_never_stopped(tmp_path: Path, step: int, overrides: list[str]) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(whole, *overrides)
    train_until(step, stopped, *overrides)
    (tmp_path / "elsewhere").mkdir()
    stopped = shutil.move(stopped, tmp_path / "elsewhere" / "stopped")
    assert run(["resume", str(stopped)]) == 0
    assert rows(stopped) == rows(whole)
    assert summary(stopped) == summary(whole)
    for name in ("best", "last"):
        expected = weights(whole, name)
        found = weights(stopped, name)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert torch.equal(found[key], value), (name, key)
    meta = json.loads((stopped / "meta.json").read_text())
    assert (meta["status"], meta["error"]) == ("finished", None)
    assert len(meta["resumed"]) == 1


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that failed in its second epoch."""
    path = tmp_path_factory.mktemp("runs") / "stopped"
    train_until(5, path, "callbacks=none")
    return path


@pytest.fixture
def record(stopped: Path, tmp_path: Path) -> RunRecord:
    """The same again: a copy under its own name."""
    return RunRecord(shutil.copytree(stopped, tmp_path / "stopped"))


@pytest.mark.parametrize(
    ("facts", "refusal"),
    [
        ({"status": "finished"}, "is finished, so nothing is left to train; `attnlab evaluate"),
        ({"status": "running", "pid": os.getpid()}, "is still being trained; stop it first"),
    ],
)
def test_only_a_run_that_was_stopped_is_resumed(
    record: RunRecord, facts: dict[str, Any], refusal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record.update(**facts)
    (record.path / "summary.json").write_text('{"steps": 12}')
    before = (record.path / "metrics.jsonl").read_text()
    assert run(["resume", str(record.path)]) == 2
    assert refusal in capsys.readouterr().err
    assert (record.path / "metrics.jsonl").read_text() == before


def test_what_is_no_run_or_has_no_checkpoint_is_refused(
    record: RunRecord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["resume", str(tmp_path / "nowhere")]) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err
    (record.path / "checkpoints" / "last.ckpt").unlink()
    assert run(["resume", str(record.path)]) == 2
    assert "stopped before its first validation and has no checkpoint" in capsys.readouterr().err
    (record.path / "meta.json").write_text("{")
    assert run(["resume", str(record.path)]) == 2
    assert "is broken" in capsys.readouterr().err


def test_a_killed_run_drops_what_its_checkpoint_does_not_know(record: RunRecord) -> None:
    record.update(status="running", pid=2**22 + 1)  # no process has so large a number
    with open(record.path / "metrics.jsonl", "a") as file:
        file.write('{"step": 11, "epo')
    assert [row["step"] for row in read_metrics(record.path)][-1] == 4
    reopened = RunRecord.reopen(record.path, steps=4)
    assert [row["step"] for row in rows(record.path)] == [0, 1, 2, 3, 3]
    assert (reopened.meta["status"], reopened.meta["error"], reopened.meta["pid"]) == ("running", None, os.getpid())
    assert reopened.last_time() == read_metrics(record.path)[-1]["time"]
