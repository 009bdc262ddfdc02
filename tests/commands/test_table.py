from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from attnlab.cli import run

Make = Callable[..., Path]


@pytest.fixture
def study(tmp_path: Path, make_run: Make) -> str:
    for data, values in (("sort", (0.5, 0.6, 0.7)), ("copy", (0.9, 0.8, 0.85))):
        for seed, value in enumerate(values, start=1):
            for encoder, lead in (("gru", 0.0), ("min_gru", 0.2 + seed / 100)):
                score = {"val/accuracy": value, "test/accuracy": value - lead, "cpu_seconds": 10.0 * seed}
                make_run(score, seed=seed, data=data, encoder=encoder)
    return f"run_dir={tmp_path / 'runs'}"


def test_rows_are_encoders_and_columns_data(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["table", study]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "|  | copy, accuracy ↑ | sort, accuracy ↑ |"
    assert lines[2] == "| gru | **0.85 ± 0.12** | **0.60 ± 0.25** |"
    # of .69 .58 .62 the deviation is √.0031, times t(0.975, 2) = 4.303 of the tables, divided by √3
    assert lines[3] == "| min_gru | 0.63 ± 0.14 | 0.38 ± 0.22 |"


def test_rows_and_columns_can_be_any_keys(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--rows", "data", "--cols", "encoder", "--metric", "cpu_seconds", "--format", "latex", "--caption", "10 %"]
    assert run(["table", study, *words]) == 0
    told = capsys.readouterr().out
    assert r"\caption{10 \%}" in told
    assert r" & gru & min\_gru \\" in told
    assert r" & cpu\_seconds $\downarrow$ & cpu\_seconds $\downarrow$ \\" in told


def test_what_a_reader_must_know_is_no_part_of_the_table(
    study: str, make_run: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run({"val/accuracy": 0.1, "test/accuracy": 0.1}, seed=1, meta={"started": "1999"}, data="sort", encoder="gru")
    assert run(["table", study, "--format", "csv"]) == 0
    told = capsys.readouterr()
    assert told.err == "note: gru: of runs with the same seed the latest counts\n"
    assert told.out.splitlines()[0] == "row,column,metric,better,seeds,mean,half_width,mark"
    assert len(told.out.splitlines()) == 5


def test_a_caption_that_csv_cannot_show_is_refused(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["table", study, "--format", "csv", "--caption", "Mine"]) == 2
    assert "--caption would have no effect with --format csv; leave it out" in capsys.readouterr().err
