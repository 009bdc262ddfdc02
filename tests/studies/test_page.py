from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from attnlab.cli import run
from attnlab.studies.page import render_page
from attnlab.studies.study import Measure, Problem, Study

MEASURES = (Measure("test/accuracy", "accuracy", percent=True), Measure("test/mse", "mse", best="min"))
STUDY = Study(
    name="s",
    title="Who is longer",
    page="toys",
    about="About it.",
    problems={
        "easy": Problem((), MEASURES, "val/accuracy", "max"),
        "hard": Problem((), MEASURES, "val/accuracy", "max"),
    },
    rivals={"gru": (), "lstm": ()},
    seeds=(1, 2),
    published={"easy": {"gru": {"accuracy": "98.7"}}},
    reference="lstm",
    remarks="Ours differ, since they are ours.",
)

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def record(problem: str, rival: str, seed: int, accuracy: float, mse: float) -> dict[str, Any]:
    summary = {"test/accuracy": accuracy, "test/mse": mse, "num_parameters": 1234, "cpu_seconds": 60.0 + seed}
    summary["peak_memory_bytes"] = 300 * 2**20
    return {"key": STUDY.cell(problem, rival, None, seed).key, "summary": summary}


def test_a_page_shows_means_with_intervals_published_figures_tests_and_costs() -> None:
    rows = [
        record("easy", "gru", 1, 0.90, 0.01),
        record("easy", "gru", 2, 0.92, 0.03),
        record("easy", "lstm", 1, 0.80, 0.00001),
        record("easy", "lstm", 2, 0.83, 0.00001),
    ]
    page = render_page("Toys", [(STUDY, {row["key"]: row for row in rows})])
    lines = page.splitlines()
    assert lines[0] == "# Toys"
    assert "## Who is longer" in lines
    assert "**hard**" not in lines  # nothing to show yet
    header = next(line for line in lines if line.startswith("|  |"))
    assert header == "|  | accuracy | mse | published | p against lstm (mse) | parameters | CPU s | MiB |  | seeds |"
    gru = next(line for line in lines if line.startswith("| gru"))
    # mean 91, deviation √2, t(0.975, 1) = 12.706, half-width 12.706·√2/√2
    # of the mse the differences are .01 and .03: p = 2/π atan(1/2)
    assert gru == "| gru | **91.0 ± 12.7** | 0.0200 ± 0.1271 | 98.7 | 0.295 | 1,234 | 62 | 300 |  | 2 |"
    lstm = next(line for line in lines if line.startswith("| lstm"))
    assert "**1.0e-05 ± 0.0000**" in lstm
    assert "Ours differ, since they are ours." in lines
    assert "`attnlab study s` (4 runs or more are still to be made)" in lines


def test_a_run_that_diverged_is_not_in_the_mean() -> None:
    rows = [record("easy", "gru", 1, 0.9, 0.01), {"key": STUDY.cell("easy", "gru", None, 2).key, "summary": {}}]
    page = render_page("Toys", [(STUDY, {row["key"]: row for row in rows})])
    assert "| gru | **90.0** | **0.0100** | 98.7 | 1,234 | 61 | 300 |  | 1 |" in page


def test_a_study_of_one_rival_has_a_row_for_each_problem_with_its_best_seed_by_validation() -> None:
    error = (Measure("test/accuracy", "error", percent=True, complement=True, best="min"),)
    study = Study(
        name="b",
        title="Stories",
        page="babi",
        about="",
        problems={name: Problem((name,), error, "val/accuracy", "max") for name in ("one", "two")},
        rivals={"net": ()},
        seeds=(1, 2),
        published={"one": {"net": {"paper": "0.1"}}, "two": {"net": {"paper": "0.3"}}},
    )
    records = {}
    for problem, seed, val, test in [("one", 1, 0.9, 0.95), ("one", 2, 0.8, 0.99), ("two", 1, 0.7, 0.75)]:
        summary = {"val/accuracy": val, "test/accuracy": test, "num_parameters": 10, "cpu_seconds": 5.0}
        records[study.cell(problem, "net", None, seed).key] = {"summary": summary}
    page = render_page("Stories", [(study, records)])
    # The second seed of `one` is better on the test part, but validation chose the first.
    assert "| one | 0.1 | 5.0 | 3.0 ± 2.8 | 10 | 5 | 2 |" in page
    assert "| two | 0.3 | 25.0 | 25.0 | 10 | 5 | 1 |" in page
    assert "| mean of these 2 | 0.2 | 15.0 | 14.0 |" in page


@pytest.mark.parametrize("page", sorted(RESULTS.glob("*.md")), ids=lambda page: page.stem)
def test_a_published_page_is_what_its_records_give(page: Path, tmp_path: Path) -> None:
    shutil.copytree(RESULTS / "records", tmp_path / "records")
    assert run(["study", page.stem, "--page-only", "--results", str(tmp_path)]) == 0
    assert (tmp_path / page.name).read_text(encoding="utf-8") == page.read_text(encoding="utf-8")
