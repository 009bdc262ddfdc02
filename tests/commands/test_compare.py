from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from attnlab.cli import run

Make = Callable[..., Path]


@pytest.fixture
def study(tmp_path: Path, make_run: Make) -> str:
    """Three encoders on three data sets, five seeds each: lstm leads by four deviations, gru and tcn are level."""
    random = np.random.default_rng(4)
    for data in ("copy", "reverse", "sort"):
        for encoder, level in (("gru", 0.5), ("lstm", 0.9), ("tcn", 0.5)):
            for seed in range(1, 6):
                accuracy = float(level + 0.02 * random.normal())
                summary = {"val/accuracy": accuracy, "test/accuracy": accuracy, "train_seconds": 9.0 + seed}
                make_run(summary, seed=seed, data=data, encoder=encoder)
    return f"run_dir={tmp_path / 'runs'}"


def test_a_known_effect_is_told_for_each_data_set_and_over_all(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", study]) == 0
    told = capsys.readouterr().out
    assert (
        told.count("verdict  lstm is better than gru and tcn\n")
        + told.count("verdict  lstm is better than tcn and gru\n")
        == 3
    )
    assert "copy: test/accuracy, more is better" in told
    assert "over 3 data sets: copy, reverse, sort" in told
    assert "P(better than lstm)" in told
    assert "mean rank" in told


def test_json_is_one_document_with_every_pair(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", study, "--by", "encoder", "--where", "data=sort,copy", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [problem["problem"] for problem in told["problems"]] == ["copy", "sort"]
    for problem in told["problems"]:
        verdicts = {frozenset((pair["first"], pair["other"])): pair["verdict"] for pair in problem["pairs"]}
        assert verdicts == {
            frozenset(("lstm", "gru")): "better",
            frozenset(("lstm", "tcn")): "better",
            frozenset(("gru", "tcn")): "no difference shown",
        }
    assert told["overall"]["ranking"] is None


def test_a_reference_is_what_the_others_are_tested_against(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", study, "--where", "data=sort", "--reference", "gru", "--metric", "accuracy"]) == 0
    told = capsys.readouterr().out
    assert "against gru" in told
    assert "gru is worse than lstm; no difference shown between gru and tcn" in told


def test_the_critical_difference_diagram_is_drawn(study: str, tmp_path: Path) -> None:
    assert run(["compare", study, "--plot", str(tmp_path / "new" / "ranks.svg")]) == 0
    assert "mean ranks over 3 data sets" in (tmp_path / "new" / "ranks.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--where", "data=sort", "--plot", "a.svg"], "--plot needs groups that have all met the same 3 data sets"),
        (["--plot", "a.pdf"], "--plot a.pdf would be drawn as .pdf; name a file that ends in .svg or .png"),
        (["--reference", "lstn"], "--reference lstn is not a group of copy; did you mean lstm?"),
        (["--by", "encodr"], "--by encodr: no run has such a key; did you mean encoder?"),
        (["--where", "data"], "--where data names no value; say --where KEY=VALUE, such as --where data=reverse"),
        (["data=sort"], "attnlab compare does not know data=sort; say run_dir=DIR, or --where data=sort"),
        (["--simulate", "0"], "--simulate 0 would show nothing; give a number of at least 1"),
    ],
)
def test_what_is_refused_is_told(
    arguments: list[str], sentence: str, study: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", study, *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"attnlab: {sentence}")


def test_an_empty_folder_says_how_to_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", f"run_dir={tmp_path}"]) == 2
    assert f"no finished run to compare in {tmp_path}; attnlab train makes one" in capsys.readouterr().err


def test_the_simulation_prints_theory_beside_what_came(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "--simulate", "50"]) == 0
    told = capsys.readouterr().out
    assert "50 made-up studies of each kind, 5 seeds a group" in told
    assert "66.3%" in told
    assert "all pairs of 5 groups" in told


def test_neither_torch_nor_hydra_is_needed(study: str) -> None:
    code = (
        "import sys; from attnlab.cli import run; "
        f"assert run(['compare', {study!r}, '--json']) == 0; assert run(['table', {study!r}]) == 0; "
        "assert not {'torch', 'hydra', 'wandb'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
