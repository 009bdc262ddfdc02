from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from attnlab.data import Forecasting, Reverse
from attnlab.runs.record import RunRecord
from attnlab.training import report

SUMMARY = {
    "test/accuracy": 0.5,
    "test/exact_match": 0.25,
    "val/exact_match": 0.5,
    "baseline/copy_input/accuracy": 0.75,
    "baseline/copy_input/exact_match": 0.125,
    "num_parameters": 12345,
    "train_seconds": 75.4,
    "peak_memory_bytes": 3 * 2**20,
    "steps": 1000,
}


def rows(table: Table) -> list[list[str]]:
    """The cells, with [bold] where a person sees bold."""
    return [list(cells) for cells in zip(*(column._cells for column in table.columns), strict=True)]


def test_the_model_stands_above_its_baselines_with_the_best_in_bold(reverse: Reverse, record: RunRecord) -> None:
    table = report.results_table(SUMMARY, reverse, record)
    assert [column.header for column in table.columns] == ["", "accuracy", "exact_match"]
    assert rows(table) == [
        ["gru + dot", "50.00 %", "[bold]25.00 %[/bold]"],
        ["copy input", "[bold]75.00 %[/bold]", "12.50 %"],
    ]
    assert table.title == "test part: 7 examples"


def test_errors_are_best_when_small_and_raw_ones_have_their_own_unit(record: RunRecord, reverse: Reverse) -> None:
    summary = {
        "test/mae": 0.25,
        "test/mae/load": 0.25,
        "test/mae_raw/load": 1234.5,
        "baseline/linear/mae": 0.5,
        "baseline/linear/mae_raw/load": 99.0,
    }
    table = report.results_table(summary, reverse, record)
    assert [column.header for column in table.columns] == ["", "mae", "mae load"]
    assert rows(table) == [
        ["gru + dot", "[bold]0.2500[/bold]", "1,234.50"],
        ["linear", "0.5000", "[bold]99.00[/bold]"],
    ]
    assert "each variable's own unit" in str(table.caption)


def test_a_number_that_a_baseline_lacks_is_a_dash_and_the_optimum_is_no_winner(
    record: RunRecord, reverse: Reverse
) -> None:
    summary = {"test/gap": 0.02, "test/optimal_tour_length": 2.5, "baseline/random_order/optimal_tour_length": 2.5}
    assert rows(report.results_table(summary, reverse, record)) == [
        ["gru + dot", "[bold]2.00 %[/bold]", "2.5000"],
        ["random order", "–", "2.5000"],
    ]


def test_no_more_variables_are_shown_than_fit(record: RunRecord, reverse: Reverse) -> None:
    summary = {f"test/mae_raw/v{index}": 1.0 for index in range(20)}
    assert len(report.results_table(summary, reverse, record).columns) == 1 + report.MAX_VARIABLES


def test_a_normalizer_is_named_where_it_is_not_the_usual_one(record: RunRecord) -> None:
    assert report.model_name(record) == "gru + dot"
    record.meta["choices"]["attention/normalizer"] = "sparsemax"
    assert report.model_name(record) == "gru + dot (sparsemax)"
    del record.meta["choices"]["attention/normalizer"]
    record.meta["choices"]["attention"] = "none"
    assert report.model_name(record) == "gru + none"


def test_each_baseline_is_named_once_in_its_order() -> None:
    assert report.baseline_names({"baseline/b/mae": 1, "baseline/a/mae": 2, "baseline/b/mse": 3, "test/mae": 4}) == [
        "b",
        "a",
    ]


def test_the_end_says_costs_place_and_what_to_type_next(
    record: RunRecord, reverse: Reverse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["attnlab"])
    assert report.closing_lines(SUMMARY, reverse, record).splitlines() == [
        "cost     12,345 parameters · 1,000 steps in 1:15 · 3 MiB at most",
        "run      runs/first",
        "next     attnlab evaluate runs/first",
        "         attnlab runs",
    ]


def test_a_forecast_can_be_used_on_a_new_file(
    record: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path.parent)
    monkeypatch.setattr(sys, "argv", ["attnlab"])
    data = Forecasting(
        path="embedded:beijing_pm25.csv.gz",
        time="hour",
        targets=None,
        categorical=[],
        ignore=[],
        lookback=12,
        horizon=4,
        season=4,
        split=[0.7, 0.1, 0.2],
        batch_size=8,
        seed=1,
    )
    lines = report.closing_lines(SUMMARY, data, record).splitlines()
    run = f"{tmp_path.name}/runs/first"
    assert lines[3:] == [
        f"         attnlab predict {run} --input new.csv --output forecast.csv",
        f"         attnlab runs run_dir={tmp_path.name}/runs",
    ]


def test_a_folder_with_a_space_can_be_pasted(reverse: Reverse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spaced = RunRecord.create(tmp_path / "my runs" / "a b", config_yaml="", overrides=[], choices={}, seed=1)
    lines = report.closing_lines(SUMMARY, reverse, spaced).splitlines()
    assert lines[2].endswith(" evaluate 'my runs/a b'")
    assert lines[3].endswith(" runs run_dir='my runs'")


def test_attnlab_is_written_as_this_person_would_type_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = tmp_path / ".venv" / "bin" / "attnlab"
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setenv("PATH", "/usr/bin")
    assert report.program() == ".venv/bin/attnlab"
    monkeypatch.setenv("PATH", f"/usr/bin:{script.parent}")
    assert report.program() == "attnlab"
    monkeypatch.setattr(sys, "argv", ["/usr/lib/python3/pytest/__main__.py"])
    assert report.program() == "attnlab"


def test_a_path_is_shown_from_here_where_that_is_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert report.relative(tmp_path / "runs" / "1") == "runs/1"
    assert report.relative(Path("/x")) == "/x"


def test_the_table_fits_a_screen_of_120_columns(record: RunRecord, reverse: Reverse) -> None:
    summary = {f"test/mae_raw/v{index}": 12345.678 for index in range(20)}
    screen = io.StringIO()
    Console(file=screen, width=120).print(report.results_table(summary, reverse, record))
    assert "…" not in screen.getvalue()
    assert screen.getvalue().count("12,345.68") == report.MAX_VARIABLES
