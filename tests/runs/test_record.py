from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path

import pytest

from attnlab.errors import UserError
from attnlab.runs import record
from attnlab.runs.record import RunRecord, discard_unstarted, write_json

CHOICES = {"data": "reverse", "encoder": "lstm"}


def begin(path: Path) -> RunRecord:
    return RunRecord.create(path, config_yaml="dim: 8\n", overrides=["dim=8", "seed=3"], choices=CHOICES, seed=3)


def meta_of(path: Path) -> dict:
    return json.loads((path / record.META).read_text())


def test_a_new_record_says_who_runs_what_and_since_when(tmp_path: Path) -> None:
    begin(tmp_path / "first")
    meta = meta_of(tmp_path / "first")
    assert meta["schema"] == record.SCHEMA
    assert meta["run_id"] == "first"
    assert meta["status"] == "running"
    assert meta["choices"] == CHOICES
    assert meta["seed"] == 3
    assert meta["pid"] == os.getpid()
    assert meta["host"] == platform.node()
    assert meta["python"] == platform.python_version()
    assert set(record.PACKAGES) == set(meta["versions"])
    assert meta["started"].endswith("+00:00")
    for not_yet_known in ("error", "ended", "device", "num_parameters", "data_sha256"):
        assert meta[not_yet_known] is None


def test_config_and_overrides_are_kept_as_they_came(tmp_path: Path) -> None:
    begin(tmp_path / "first")
    assert (tmp_path / "first" / "config.yaml").read_text() == "dim: 8\n"
    assert (tmp_path / "first" / "overrides.txt").read_text() == "dim=8\nseed=3\n"


def test_a_folder_that_holds_a_record_is_refused_and_left_alone(tmp_path: Path) -> None:
    begin(tmp_path / "first").finish({"steps": 7})
    before = meta_of(tmp_path / "first")
    with pytest.raises(UserError, match="already holds a run record; choose another"):
        begin(tmp_path / "first")
    assert meta_of(tmp_path / "first") == before


def test_a_finished_run_has_its_summary_and_says_when_it_ended(tmp_path: Path) -> None:
    started = begin(tmp_path / "first")
    started.update(num_parameters=5)
    started.finish({"test/mae": 0.25, "steps": 7})
    assert json.loads((tmp_path / "first" / "summary.json").read_text()) == {"test/mae": 0.25, "steps": 7}
    meta = meta_of(tmp_path / "first")
    assert meta["status"] == "finished"
    assert meta["num_parameters"] == 5
    assert meta["ended"] >= meta["started"]


def test_the_status_is_written_after_the_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = begin(tmp_path / "first")
    written: list[str] = []
    monkeypatch.setattr(record, "write_json", lambda path, content: written.append(path.name))
    started.finish({"steps": 7})
    assert written == ["summary.json", "meta.json"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("the loss became nan"), "ValueError: the loss became nan"),
        (KeyboardInterrupt(), "KeyboardInterrupt: stopped from outside"),
    ],
)
def test_a_failed_run_says_why(tmp_path: Path, error: BaseException, told: str) -> None:
    begin(tmp_path / "first").fail(error)
    meta = meta_of(tmp_path / "first")
    assert meta["status"] == "failed"
    assert meta["error"] == told
    assert meta["ended"] is not None


def test_a_subfolder_is_made_when_it_is_first_needed(tmp_path: Path) -> None:
    started = begin(tmp_path / "first")
    assert not (tmp_path / "first" / "plots").exists()
    assert started.folder("plots").is_dir()
    assert started.folder("plots") == tmp_path / "first" / "plots"


def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "meta.json"
    write_json(target, {"status": "running"})
    with pytest.raises(TypeError):
        write_json(target, {"status": "finished", "error": object()})
    assert json.loads(target.read_text()) == {"status": "running"}


def test_a_run_that_never_made_a_step_is_discarded_with_its_folder(tmp_path: Path) -> None:
    begin(tmp_path / "first")
    (tmp_path / "first" / "train.log").touch()
    discard_unstarted(tmp_path / "first")
    assert not (tmp_path / "first").exists()


def test_discarding_spares_what_this_run_did_not_write(tmp_path: Path) -> None:
    begin(tmp_path / "first")
    (tmp_path / "first" / "notes.md").write_text("mine")
    discard_unstarted(tmp_path / "first")
    assert [file.name for file in (tmp_path / "first").iterdir()] == ["notes.md"]


def test_discarding_spares_a_run_that_has_made_steps(tmp_path: Path) -> None:
    begin(tmp_path / "first")
    (tmp_path / "first" / "metrics.jsonl").write_text("{}\n")
    discard_unstarted(tmp_path / "first")
    assert (tmp_path / "first" / "config.yaml").exists()


def test_discarding_spares_the_record_of_another_process(tmp_path: Path) -> None:
    begin(tmp_path / "first").update(pid=os.getpid() + 1)
    discard_unstarted(tmp_path / "first")
    assert (tmp_path / "first" / "config.yaml").exists()


def test_discarding_nothing_is_no_error(tmp_path: Path) -> None:
    discard_unstarted(tmp_path / "never")
    assert list(tmp_path.iterdir()) == []


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    return subprocess.run(
        ["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_commit_of_the_code_is_kept_and_whether_it_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "checkout"
    code.mkdir()
    git(code, "init")
    (code / "record.py").write_text("a = 1\n")
    git(code, "add", "record.py")
    git(code, "commit", "-m", "First")
    monkeypatch.setattr(record, "__file__", str(code / "record.py"))
    assert begin(tmp_path / "clean").meta["git"] == {"commit": git(code, "rev-parse", "HEAD"), "dirty": False}
    (code / "record.py").write_text("a = 2\n")
    assert begin(tmp_path / "dirty").meta["git"] == {"commit": git(code, "rev-parse", "HEAD"), "dirty": True}


def test_a_repository_that_does_not_hold_the_code_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init")
    (tmp_path / "record.py").touch()  # as in site-packages inside somebody's checkout
    monkeypatch.setattr(record, "__file__", str(tmp_path / "record.py"))
    assert begin(tmp_path / "first").meta["git"] is None
