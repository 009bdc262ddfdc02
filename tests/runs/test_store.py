from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attnlab.errors import UserError
from attnlab.runs.record import RunRecord
from attnlab.runs.store import SILENCE, RunStore, find_run, read_config, read_metrics, read_run


def begin(path: Path) -> RunRecord:
    return RunRecord.create(path, config_yaml="", overrides=[], choices={"data": "tsp"}, seed=1)


def test_a_finished_run_comes_with_its_summary(tmp_path: Path) -> None:
    begin(tmp_path / "first").finish({"test/gap": 0.5})
    run = read_run(tmp_path / "first")
    assert (run.status, run.run_id, run.summary) == ("finished", "first", {"test/gap": 0.5})
    assert run.choice("data") == "tsp"
    assert run.choice("encoder") == "?"


def test_a_run_as_plain_values_is_json(tmp_path: Path) -> None:
    begin(tmp_path / "first").fail(ValueError("no"))
    told = json.loads(json.dumps(read_run(tmp_path / "first").to_dict()))
    assert told["run_id"] == "first"
    assert told["path"] == str(tmp_path / "first")
    assert told["status"] == "failed"
    assert told["error"] == "ValueError: no"
    assert told["choices"] == {"data": "tsp"}
    assert told["seed"] == 1
    assert told["summary"] == {}


def test_a_run_whose_process_lives_is_running(tmp_path: Path) -> None:
    begin(tmp_path / "first")
    assert read_run(tmp_path / "first").status == "running"


def test_a_run_whose_process_is_gone_is_stale(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    begin(tmp_path / "first").update(pid=process.pid)
    assert read_run(tmp_path / "first").status == "stale"


@pytest.mark.parametrize(("silent", "status"), [(0.0, "running"), (SILENCE + 60, "stale")])
def test_a_run_of_another_machine_is_stale_once_it_is_silent(tmp_path: Path, silent: float, status: str) -> None:
    begin(tmp_path / "first").update(host="elsewhere", pid=os.getpid())
    for file in (tmp_path / "first").iterdir():
        os.utime(file, (time.time() - silent, time.time() - silent))
    assert read_run(tmp_path / "first").status == status


@pytest.mark.parametrize("content", ["", "{", "[]", '"words"', "{}"])
def test_a_damaged_meta_is_shown_as_broken(tmp_path: Path, content: str) -> None:
    begin(tmp_path / "first")
    (tmp_path / "first" / "meta.json").write_text(content)
    assert read_run(tmp_path / "first").status == "broken"


@pytest.mark.parametrize("content", ["", '{"test/gap": 0.', "[1]"])
def test_a_finished_run_with_a_damaged_summary_is_broken(tmp_path: Path, content: str) -> None:
    begin(tmp_path / "first").finish({"test/gap": 0.5})
    (tmp_path / "first" / "summary.json").write_text(content)
    run = read_run(tmp_path / "first")
    assert (run.status, run.summary) == ("broken", {})


def test_a_finished_run_without_a_summary_is_broken(tmp_path: Path) -> None:
    begin(tmp_path / "first").finish({"test/gap": 0.5})
    (tmp_path / "first" / "summary.json").unlink()
    assert read_run(tmp_path / "first").status == "broken"


@pytest.mark.parametrize(
    "content", ['{"name": "resnet", "status": "finished"}', '{"schema": 1, "status": "finished", "choices": null}']
)
def test_the_meta_of_another_program_is_foreign(tmp_path: Path, content: str) -> None:
    (tmp_path / "meta.json").write_text(content)
    (tmp_path / "summary.json").write_text('{"accuracy": 0.9}')
    run = read_run(tmp_path)
    assert (run.status, run.meta, run.summary) == ("foreign", {}, {})


def test_the_list_has_every_record_and_passes_over_the_rest(tmp_path: Path) -> None:
    for name in ("20260102_b", "20260101_a"):
        begin(tmp_path / name)
    (tmp_path / "resnet").mkdir()
    (tmp_path / "resnet" / "meta.json").write_text('{"name": "resnet"}')
    (tmp_path / "wandb").mkdir()
    (tmp_path / "multirun.yaml").touch()
    assert [run.run_id for run in RunStore(tmp_path).list()] == ["20260101_a", "20260102_b"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a folder of runs .* say run_dir=DIR"):
        RunStore(tmp_path / "nowhere").list()


def test_a_run_is_found_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(tmp_path / "first")
    monkeypatch.chdir(tmp_path)
    assert find_run("first") == (tmp_path / "first").resolve()


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a run record: it has no meta\.json"):
        find_run(str(tmp_path))


def test_a_run_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere is not a folder .* `attnlab runs` lists the runs"):
        find_run(str(tmp_path / "nowhere"))


def test_metrics_are_read_up_to_a_line_that_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"step": 3, "val/')
    assert read_metrics(tmp_path) == [{"step": 1}, {"step": 2}]


def test_the_config_is_read_as_plain_values_and_a_damaged_one_is_empty(tmp_path: Path) -> None:
    begin(tmp_path / "first")
    for text, expected in (("dim: 8\ndata: {length: 5-10}\n", {"dim": 8, "data": {"length": "5-10"}}), ("dim: [8", {})):
        (tmp_path / "first" / "config.yaml").write_text(text)
        assert read_config(tmp_path / "first") == expected
    assert read_config(tmp_path / "nowhere") == {}
