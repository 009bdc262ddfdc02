from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from attnlab.cli import run


@pytest.mark.parametrize("name", ["table", "reverse", "tsp"])
def test_the_metrics_are_those_that_training_recorded_and_nothing_else_is_printed(
    trained: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", str(trained / "runs" / name), "--json"]) == 0
    printed = json.loads(capfd.readouterr().out)  # one document, or this fails
    summary = json.loads((trained / "runs" / name / "summary.json").read_text())
    recorded = {key: value for key, value in summary.items() if key.startswith("test/")}
    assert len(recorded) >= 2
    assert printed == {"run_id": name, "metrics": recorded, "recorded": recorded, "same": True}


def test_a_person_sees_the_table_with_its_baselines(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(trained / "runs" / "table")]) == 0
    shown = capsys.readouterr().out
    for row in ("lstm + additive", "last value", "seasonal naive", "linear"):
        assert re.search(rf"│ {re.escape(row)} +│", shown)
    assert "equal to what training recorded, to the last digit" in shown


def test_a_difference_is_named(copied: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = copied("reverse")
    summary = json.loads((path / "summary.json").read_text())
    (path / "summary.json").write_text(json.dumps({**summary, "test/accuracy": 2.0}))
    assert run(["evaluate", str(path)]) == 0
    shown = capsys.readouterr().out.replace("\n", " ")
    assert "differs from what training recorded, most in test/accuracy: 2.0 then, " in shown


def test_a_run_without_a_summary_can_be_evaluated(
    copied: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied("reverse")
    (path / "summary.json").unlink()
    assert run(["evaluate", str(path)]) == 0
    assert "training recorded no test metrics to compare with" in capsys.readouterr().out


def of_another_run(path: Path, trained: Path) -> str:
    shutil.copy(trained / "runs" / "tsp" / "checkpoints" / "best.ckpt", path / "checkpoints" / "best.ckpt")
    return "best.ckpt belongs to run tsp, but it lies in run table; put the right checkpoint back"


def cut_off(path: Path, trained: Path) -> str:
    content = (path / "checkpoints" / "best.ckpt").read_bytes()
    (path / "checkpoints" / "best.ckpt").write_bytes(content[: len(content) // 2])
    return r"best.ckpt is not a readable checkpoint \(\w+\); train the run again"


def missing(path: Path, trained: Path) -> str:
    (path / "checkpoints" / "best.ckpt").unlink()
    return "best.ckpt does not exist: the run kept no checkpoint; train it again"


def foreign(path: Path, trained: Path) -> str:
    torch.save({"state_dict": {}}, path / "checkpoints" / "best.ckpt")
    return "best.ckpt was not written by attnlab, but it lies in run table"


def other_config(path: Path, trained: Path) -> str:
    config = (path / "config.yaml").read_text()
    (path / "config.yaml").write_text(config.replace("hidden_dim: 8", "hidden_dim: 16"))
    return "best.ckpt does not fit the model that config.yaml describes; restore the run's own config.yaml"


def no_config(path: Path, trained: Path) -> str:
    (path / "config.yaml").unlink()
    return "is not a run record: it has no meta.json and config.yaml"


@pytest.mark.parametrize("debug", ["0", "1"])
@pytest.mark.parametrize("harm", [of_another_run, cut_off, missing, foreign, other_config, no_config])
def test_a_damaged_record_is_refused_in_one_sentence(
    harm: Callable[[Path, Path], str],
    debug: str,
    copied: Callable[[str], Path],
    trained: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ATTNLAB_DEBUG", debug)
    path = copied("table")
    sentence = harm(path, trained)
    assert run(["evaluate", str(path), "--json"]) == 2
    printed = capsys.readouterr()
    *trace, told = printed.err.splitlines()
    assert printed.out == ""
    assert told.startswith("attnlab: ")
    assert re.search(sentence, told)
    assert ("Traceback (most recent call last):" in trace) == (debug == "1")
    assert trace == [] or debug == "1"


def test_data_that_have_changed_are_refused(
    copied: Callable[[str], Path], trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied("table")
    changed = tmp_path / "changed.csv"
    changed.write_text((trained / "measurements.csv").read_text() + "\n")  # a blank line more is another file
    config = (path / "config.yaml").read_text()
    (path / "config.yaml").write_text(config.replace(str(trained / "measurements.csv"), str(changed)))
    assert run(["evaluate", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"attnlab: {changed} has changed since run table, so its test metrics cannot be made again\n"
    )


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert run(["evaluate", str(tmp_path)]) == 2
    assert "is not a run record" in capsys.readouterr().err
