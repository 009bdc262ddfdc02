from __future__ import annotations

import json
from pathlib import Path

import pytest

import attnlab
from attnlab.cli import run
from attnlab.errors import UserError

TINY = ["data=reverse", "data.length=3", "data.num_train=64", "data.num_val=16", "data.num_test=16", "dim=8"]
TINY += ["trainer=cpu", "trainer.max_steps=2"]


def numbers(path: Path) -> dict[str, float]:
    """What the same overrides make the same on any machine."""
    summary = json.loads((path / "summary.json").read_text())
    return {key: value for key, value in summary.items() if "/" in key}


def test_it_makes_the_run_that_the_command_line_makes(tmp_path: Path) -> None:
    made = attnlab.train(*TINY, f"run_dir={tmp_path}")
    assert run(["train", *TINY, f"hydra.run.dir={tmp_path}/typed"]) == 0
    assert made.status == "finished"
    assert made.path.parent == tmp_path
    assert made.run_id.split("_")[1:5] == ["reverse", "lstm", "additive", "s1"]
    assert numbers(made.path) == numbers(tmp_path / "typed")
    assert made.summary["test/exact_match"] == numbers(made.path)["test/exact_match"]
    assert (made.path / "overrides.txt").read_text().splitlines() == [*TINY, f"run_dir={tmp_path}"]
    assert made.meta["choices"] == json.loads((tmp_path / "typed/meta.json").read_text())["choices"]


def test_the_record_may_be_named(tmp_path: Path) -> None:
    assert attnlab.train(*TINY, f"hydra.run.dir={tmp_path}/here").path == tmp_path / "here"


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("encoder=gruu", "encoder=gruu is not an option; did you mean gru"),
        ("data.size=3", "data.size is not an option"),
        ("dim=0", "dim=0 must be at least 1"),
        ("head=pointer", "head=pointer"),
        ("-m", "one run"),
        ("experiment=study/adding", "one run"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_leaves_no_record(tmp_path: Path, word: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        attnlab.train(*TINY, word, f"run_dir={tmp_path}")
    assert list(tmp_path.iterdir()) == []
