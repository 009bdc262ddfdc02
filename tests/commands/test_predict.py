from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from attnlab.cli import run

Measurements = Callable[..., Path]


def forecast(run_folder: Path, file: Path, output: Path) -> list[dict[str, str]]:
    assert run(["predict", str(run_folder), "--input", str(file), "--output", str(output)]) == 0
    with open(output) as rows:
        return list(csv.DictReader(rows))


@pytest.fixture
def table_run(trained: Path) -> Path:
    return trained / "runs" / "table"


def test_the_rows_continue_the_file_in_its_own_step_and_units(
    table_run: Path, measurements: Measurements, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = measurements(tmp_path / "new.csv", rows=17, start="2024-02-28T07:00:00")
    rows = forecast(table_run, file, tmp_path / "forecast.csv")
    assert list(rows[0]) == ["time", "load", "temperature"]
    # The last of 17 rows is 29 February, 23:00.
    assert [row["time"] for row in rows] == [f"2024-02-29 0{hour}:00:00" for hour in range(4)]
    assert np.all(np.abs([float(row["load"]) - 100 for row in rows]) < 60)
    assert np.all(np.abs([float(row["temperature"]) - 5 for row in rows]) < 6)
    assert capsys.readouterr().out == (
        f"{tmp_path}/forecast.csv: 4 rows, 2024-02-29 00:00:00 to 2024-02-29 03:00:00, of load, temperature\n"
    )
    assert not list(tmp_path.glob(".*"))  # no half-written file beside it


def test_only_the_look_back_counts(table_run: Path, measurements: Measurements, tmp_path: Path) -> None:
    header, *lines = measurements(tmp_path / "long.csv", rows=40).read_text().splitlines()
    (tmp_path / "short.csv").write_text("\n".join([header, *lines[-12:]]) + "\n")
    assert forecast(table_run, tmp_path / "long.csv", tmp_path / "a.csv") == forecast(
        table_run, tmp_path / "short.csv", tmp_path / "b.csv"
    )


def test_the_training_file_is_not_needed(
    copied: Callable[[str], Path], trained: Path, measurements: Measurements, tmp_path: Path
) -> None:
    path = copied("table")
    config = (path / "config.yaml").read_text()
    assert str(trained / "measurements.csv") in config
    (path / "config.yaml").write_text(config.replace(str(trained / "measurements.csv"), "/deleted/measurements.csv"))
    file = measurements(tmp_path / "new.csv", rows=20)
    again = forecast(path, file, tmp_path / "again.csv")
    assert again == forecast(trained / "runs" / "table", file, tmp_path / "first.csv")


def test_a_category_that_training_never_saw_is_told(
    table_run: Path, measurements: Measurements, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = measurements(tmp_path / "new.csv", rows=20)
    file.write_text(re.sub(",[NES]\n", ",X\n", file.read_text()))
    forecast(table_run, file, tmp_path / "forecast.csv")
    assert capsys.readouterr().err == (
        "attnlab: column wind holds X, which the training part never did: treated as none of the known categories\n"
    )


def renamed(file: Path) -> str:
    file.write_text(file.read_text().replace("temperature", "Temperature"))
    return "new.csv has no column temperature, which the trained model names; did you mean Temperature?"


def too_short(file: Path) -> str:
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:12]))
    return "new.csv has 11 rows, but the model looks back on 12; give more rows"


def not_numeric(file: Path) -> str:
    file.write_text(re.sub(r"(?m)^(2020-01-01 03:00:00|2020-01-01T03:00:00),[^,]+", r"\1,high", file.read_text()))
    return r"new.csv line 5, column load: 'high' is not a number"


def a_gap(file: Path) -> str:
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:8] + lines[9:]))
    return "new.csv line 9: .* rows must be in order and 3600 s apart"


def gone(file: Path) -> str:
    file.unlink()
    return "new.csv is not a file"


@pytest.mark.parametrize("harm", [renamed, too_short, not_numeric, a_gap, gone])
def test_a_file_of_another_kind_is_refused(
    harm: Callable[[Path], str],
    table_run: Path,
    measurements: Measurements,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = measurements(tmp_path / "new.csv", rows=20)
    sentence = harm(file)
    output = tmp_path / "forecast.csv"
    assert run(["predict", str(table_run), "--input", str(file), "--output", str(output)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert re.search(sentence, told)
    assert not output.exists()


def test_another_time_step_is_refused(
    table_run: Path, measurements: Measurements, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = measurements(tmp_path / "new.csv", step=600)
    assert run(["predict", str(table_run), "--input", str(file), "--output", str(tmp_path / "forecast.csv")]) == 2
    assert "has a row every 600 s, but the model was trained on one every 3600 s" in capsys.readouterr().err


def test_a_run_that_forecasts_nothing_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--input", str(trained / "measurements.csv"), "--output", str(tmp_path / "forecast.csv")]
    assert run(["predict", str(trained / "runs" / "tsp"), *arguments]) == 2
    assert "tsp was trained on data=tsp; predict forecasts tables" in capsys.readouterr().err


def test_an_output_without_a_folder_is_refused(
    trained: Path, table_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "nowhere" / "forecast.csv"
    assert run(["predict", str(table_run), "--input", str(trained / "measurements.csv"), "--output", str(output)]) == 2
    assert f"there is no folder {tmp_path}/nowhere; make it first" in capsys.readouterr().err
