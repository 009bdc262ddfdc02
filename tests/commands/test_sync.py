from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attnlab.cli import run


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two legs of one run that wait, one run that was uploaded, one that never began, and one that was online."""
    for name in [name for name in os.environ if name.startswith("WANDB")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    for name, files in {
        "offline-run-20260102_120000-aa": ["run-aa.wandb"],
        "offline-run-20260101_120000-aa": ["run-aa.wandb"],
        "offline-run-20260101_130000-bb": ["run-bb.wandb", "run-bb.wandb.synced"],
        "offline-run-20260101_140000-cc": [],
        "run-20260101_150000-dd": ["run-dd.wandb"],
    }.items():
        folder = tmp_path / "runs" / "wandb" / name
        folder.mkdir(parents=True)
        for file in files:
            (folder / file).touch()
    return tmp_path / "runs"


def test_without_a_key_it_says_what_waits_and_what_is_needed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sync"]) == 2
    said = capsys.readouterr()
    assert said.out == "runs: 2 offline W&B runs to upload, 1 uploaded before\n"
    assert said.err == (
        "attnlab: WANDB_API_KEY is not set, and W&B takes no runs without it; copy it from wandb.ai/authorize\n"
    )


def test_what_waits_is_given_to_the_library_in_the_order_of_its_start(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []

    def upload(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        called.append(command)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(subprocess, "run", upload)
    assert run(["sync", f"run_dir={runs}"]) == 1  # as the library ended
    legs = [str(runs / "wandb" / f"offline-run-2026010{day}_120000-aa") for day in (1, 2)]
    assert called == [[sys.executable, "-m", "wandb", "sync", *legs]]


def test_a_dry_run_uploads_nothing(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: pytest.fail("something was uploaded"))
    assert run(["sync", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"  runs/wandb/offline-run-2026010{day}_120000-aa" for day in (1, 2)
    ]


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["run_dir=nowhere"], "nowhere is not a folder of runs"),
        (["seed=1"], "attnlab sync does not know seed=1; say run_dir=DIR"),
    ],
)
def test_what_it_does_not_know_is_refused(
    runs: Path, words: list[str], refusal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sync", *words]) == 2
    assert refusal in capsys.readouterr().err
