"""The index knows what has changed in a folder of runs, and shows each folder as what it is."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from tests.dashboard.records import append_line, write_run

from attnlab.dashboard.index import RunIndex, flatten
from attnlab.dashboard.review import write_review


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunIndex:
    monkeypatch.setattr("attnlab.dashboard.index.FRESH", 0.0)
    monkeypatch.setattr("attnlab.dashboard.index.REST", 0.0)
    return RunIndex(tmp_path)


def changed(index: RunIndex, since: str = "") -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    answer = index.changes(since)
    return {row["id"]: row for row in answer["rows"]}, answer


def test_a_row_has_metric_costs_and_the_flat_config(index: RunIndex, tmp_path: Path) -> None:
    write_run(tmp_path / "a", value=0.75, dim=64)
    rows, answer = changed(index)
    row = rows["a"]
    assert answer["complete"]
    assert (row["status"], row["metric"], row["value"], row["rising"]) == ("finished", "test/exact_match", 0.75, True)
    assert (row["parameters"], row["seconds"], row["memory"]) == (1000, 12.5, 600 * 2**20)
    assert (row["config"]["dim"], row["config"]["encoder.num_layers"]) == (64, 1)
    assert "run_id" not in row["config"]


def test_only_what_has_changed_is_told_again(index: RunIndex, tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", status="running")
    version = changed(index)[1]["version"]
    assert changed(index, version)[0] == {}
    assert index.version == version
    append_line(tmp_path / "b", step=49, epoch=2, time=9.0, exact_match=0.9)
    rows, answer = changed(index, version)
    assert list(rows) == ["b"]
    assert (rows["b"]["value"], rows["b"]["metric"], rows["b"]["progress"]) == (0.9, "val/exact_match", 0.49)
    assert not answer["complete"]
    assert index.version != version


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells what another process holds")
def test_a_run_in_training_says_what_memory_it_has_taken_so_far(index: RunIndex, tmp_path: Path) -> None:
    for name, device in (("here", "cpu"), ("gpu", "NVIDIA H100")):
        write_run(tmp_path / name, status="running")
        file = tmp_path / name / "meta.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"device": device}))
        append_line(tmp_path / name, step=49, epoch=2, time=9.0, exact_match=0.9)
    rows, _ = changed(index)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # the record names this process
    assert rows["here"]["memory"] == pytest.approx(most, rel=0.05)
    assert rows["gpu"]["memory"] is None


def test_a_new_run_a_review_and_a_removed_run_are_told(index: RunIndex, tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    version = changed(index)[1]["version"]
    write_run(tmp_path / "b")
    rows, answer = changed(index, version)
    assert list(rows) == ["b"]
    write_review(tmp_path / "a", {"pinned": True})
    rows, answer = changed(index, answer["version"])
    assert rows["a"]["review"]["pinned"]
    (tmp_path / "b").rename(tmp_path.parent / f"{tmp_path.name}_gone")
    rows, answer = changed(index, answer["version"])
    assert (rows, answer["removed"]) == ({}, ["b"])


def test_the_version_of_an_earlier_dashboard_is_worth_nothing(index: RunIndex, tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    assert changed(index, "123abc-1")[1]["complete"]
    assert changed(index, "nonsense")[1]["complete"]


def test_folders_are_shown_as_what_they_are(index: RunIndex, tmp_path: Path) -> None:
    write_run(tmp_path / "half", status="running")
    (tmp_path / "half" / "metrics.jsonl").write_text(
        '{"step": 4, "epoch": 0, "time": 1.0, "val/exact_match": 0.2}\n{"st'
    )
    write_run(tmp_path / "lost") / "summary.json"
    (tmp_path / "lost" / "summary.json").write_text('{"test/exact_ma')
    write_run(tmp_path / "damaged")
    (tmp_path / "damaged" / "meta.json").write_bytes(b"\xff\xfe{")
    write_run(tmp_path / "odd")
    (tmp_path / "odd" / "config.yaml").write_text("a: [1, 2\n b: {")
    (tmp_path / "odd" / "review.json").write_text('{"tags": "no list"}')
    write_run(tmp_path / "killed", status="running")
    meta = json.loads((tmp_path / "killed" / "meta.json").read_text())
    (tmp_path / "killed" / "meta.json").write_text(json.dumps({**meta, "pid": 2**22 + 1}))
    (tmp_path / "nothing").mkdir()
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "beach.jpg").write_bytes(b"sand")
    for name, facts in (("resnet", {"name": "resnet"}), ("nameless", {"status": "finished", "choices": None})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "meta.json").write_text(json.dumps(facts))
        (tmp_path / name / "summary.json").write_text('{"accuracy": 0.9}')
    (tmp_path / "notes.txt").write_text("no folder")
    rows, _ = changed(index)
    assert {name: row["status"] for name, row in rows.items()} == {
        "half": "running",
        "lost": "broken",
        "damaged": "broken",
        "odd": "finished",
        "killed": "stale",
        "nothing": "empty",
        "holiday": "foreign",
        "resnet": "foreign",
        "nameless": "foreign",
    }
    assert (rows["nameless"]["choices"], rows["nameless"]["summary"]) == ({}, {})
    assert rows["half"]["steps"] == 4
    assert rows["odd"]["config"] == {}
    assert rows["odd"]["review"]["tags"] == []


def test_a_run_that_dies_without_touching_a_file_becomes_stale(
    index: RunIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "a", status="running")
    version = changed(index)[1]["version"]

    def gone(pid: int, signal: int) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(os, "kill", gone)
    rows, _ = changed(index, version)
    assert rows["a"]["status"] == "stale"


def test_configs_come_after_the_first_answer_where_they_take_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attnlab.dashboard.index.CONFIG_BUDGET", 0.0)
    for name in "abc":
        write_run(tmp_path / name)
    index = RunIndex(tmp_path)
    rows, answer = changed(index)
    assert (len(rows), answer["reading"]) == (3, 3)
    monkeypatch.setattr("attnlab.dashboard.index.CONFIG_BUDGET", 9.0)
    rows, answer = changed(index, answer["version"])
    assert answer["reading"] == 0
    assert all(row["config"]["dim"] == 32 for row in rows.values())


def test_a_name_that_leads_out_of_the_folder_is_no_run(index: RunIndex, tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    assert index.folder("a") == tmp_path / "a"
    for name in ("..", ".", "", "a/..", "../a", "b"):
        with pytest.raises(HTTPException):
            index.folder(name)


def test_flatten_joins_names_with_dots() -> None:
    assert flatten({"a": {"b": 1, "_partial_": True, "c": {"d": [2]}}, "e": None}) == {
        "a.b": 1,
        "a.c.d": [2],
        "e": None,
    }
