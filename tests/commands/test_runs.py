from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from attnlab.cli import run
from attnlab.runs.record import RunRecord


def begin(path: Path, data: str, **choices: str) -> RunRecord:
    chosen = {"data": data, "encoder": "lstm", "attention": "additive", **choices}
    record = RunRecord.create(path, config_yaml="", overrides=[], choices=chosen, seed=1)
    record.update(key_metric={"tsp": "gap", "reverse": "exact_match", "beijing": "mae"}[data])
    return record


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs on each of three kinds of data, the better one later."""
    folder = tmp_path / "runs"
    monkeypatch.chdir(tmp_path)
    begin(folder / "1", "tsp").finish({"test/gap": 0.30, "test/exact_match": 0.9, "train_seconds": 5.0})
    begin(folder / "2", "tsp").finish({"test/gap": 0.10, "test/exact_match": 0.1, "train_seconds": 9.0})
    begin(folder / "3", "reverse").finish({"test/exact_match": 0.25, "test/accuracy": 0.5, "train_seconds": 3.0})
    begin(folder / "4", "reverse").finish({"test/exact_match": 0.75, "test/accuracy": 0.6, "train_seconds": 4.0})
    begin(folder / "5", "beijing").finish({"test/mae": 0.5, "train_seconds": 2.0})
    begin(folder / "6", "beijing").finish({"test/mae": 0.4, "train_seconds": 8.0})
    return folder


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert run(["runs", "--json", *arguments]) == 0
    return [found["run_id"] for found in json.loads(capsys.readouterr().out)]


@pytest.mark.usefixtures("runs")
def test_the_best_of_each_dataset_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys) == ["6", "5", "4", "3", "2", "1"]


@pytest.mark.usefixtures("runs")
def test_runs_are_ranked_by_any_number_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, "--sort", "train_seconds") == ["5", "3", "4", "1", "6", "2"]


@pytest.mark.usefixtures("runs")
def test_a_rising_number_ranks_downwards_and_runs_without_it_come_last(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, "--sort", "test/exact_match") == ["1", "4", "3", "2", "5", "6"]


@pytest.mark.usefixtures("runs")
def test_only_the_first_are_shown_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, "--limit", "2") == ["6", "5"]


def test_a_number_that_is_not_one_ranks_last(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin(runs / "0", "beijing").finish({"test/mae": float("nan")})
    assert listed(capsys, "--limit", "3") == ["6", "5", "0"]


def test_each_run_is_told_with_its_choices_and_its_numbers(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "--json", f"run_dir={runs}", "--limit", "1"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["choices"]["data"] == "beijing"
    assert told["status"] == "finished"
    assert told["summary"] == {"test/mae": 0.4, "train_seconds": 8.0}
    assert told["path"] == str(runs / "6")


def test_a_person_sees_what_became_of_each_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin(runs / "bad", "reverse").fail(ValueError("the loss became nan"))
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    begin(runs / "gone", "reverse").update(pid=process.pid)
    begin(runs / "harmed", "reverse")
    (runs / "harmed" / "meta.json").write_text('{"status":')
    begin(runs / "open", "reverse", **{"attention/normalizer": "sparsemax"})
    assert run(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    status = {words[1]: words[2] for words in map(str.split, lines) if words[0].isdigit()}
    assert {name: status[name] for name in ("6", "bad", "gone", "harmed", "open")} == {
        "6": "finished",
        "bad": "failed",
        "gone": "stale",
        "harmed": "broken",
        "open": "running",
    }
    (best,) = (line.split() for line in lines if line.split()[1] == "6")
    assert best[3:] == ["beijing", "lstm", "additive", "1", "mae", "0.4000", "–", "8", "s"]
    (running,) = (line for line in lines if " open " in line)
    assert "additive/sparsemax" in running
    assert "bad failed: ValueError: the loss became nan" in lines
    assert "gone is stale: its process is gone without a word (killed, or the machine stopped)" in lines
    assert "harmed is broken: meta.json or summary.json cannot be read" in lines


def test_an_empty_folder_says_how_to_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", f"run_dir={tmp_path}"]) == 0
    assert "attnlab train makes one" in capsys.readouterr().out.replace("\n", " ")
    assert listed(capsys, f"run_dir={tmp_path}") == []


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--sort", "train_second"], "--sort train_second: no run has such a number; did you mean train_seconds?"),
        (["--limit", "0"], "--limit 0 would show nothing; give a number of at least 1"),
        (["run_dir=nowhere"], "nowhere is not a folder of runs"),
        (["rundir=nowhere"], "attnlab runs does not know rundir=nowhere; say run_dir=DIR"),
    ],
)
def test_what_is_refused_is_told(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"attnlab: {sentence}")
    assert told.err.count("\n") == 1
