"""The embedded dataset, against the same file read by Python."""

from __future__ import annotations

import csv
import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from attnlab.data import Forecasting
from attnlab.data.csv_file import locate
from attnlab.spec import DataSpec, Forecast, Series

SPLITS = ("train", "val", "test")
BEIJING = "embedded:beijing_pm25.csv.gz"
TARGETS = ["pm2.5", "DEWP", "TEMP", "PRES", "Iws", "Is", "Ir"]


@pytest.fixture(scope="module")
def beijing() -> Forecasting:
    return Forecasting(
        path=BEIJING,
        time=["year", "month", "day", "hour"],
        targets=TARGETS,
        categorical=["cbwd"],
        ignore=["No"],
        lookback=168,
        horizon=24,
        season=24,
        split=[0.7, 0.1, 0.2],
        batch_size=64,
        seed=1,
    )


@pytest.fixture(scope="module")
def measurements() -> list[dict[str, str]]:
    """The same file, read by Python."""
    with gzip.open(locate(BEIJING), "rt") as file:
        return list(csv.DictReader(file))


def test_beijing_is_the_file_it_is_said_to_be(beijing: Forecasting) -> None:
    sha256 = "7f942332746ea16abad083b53f8f481f98fabc0d9ec60f21cdf6a4705d9e3ee1"
    assert beijing.fingerprint() == sha256


def test_beijing_equals_the_published_file(shared: Path) -> None:
    file = shared / "data" / "forecasting" / "uci" / "beijing_pm25.csv.gz"
    if not file.is_file():
        pytest.skip(f"{file} is not here")
    with gzip.open(locate(BEIJING)) as ours, gzip.open(file) as published:
        assert ours.read() == published.read()


def test_beijing_is_hourly_from_2010_to_2014(beijing: Forecasting) -> None:
    times = beijing.table.times(beijing.schema.time)
    assert beijing.table.num_rows == len(times) == 43_824
    assert (str(times[0]), str(times[-1])) == ("2010-01-01T00:00:00", "2014-12-31T23:00:00")
    assert beijing.schema.step_seconds == 3600


def test_beijing_is_seven_variables_four_winds_a_mark_and_three_cycles(beijing: Forecasting) -> None:
    assert beijing.schema.categories == {"cbwd": ["NE", "NW", "SE", "cv"]}
    assert beijing.schema.flagged == ["pm2.5"]
    assert beijing.spec == DataSpec(Series(7 + 4 + 1 + 6), Forecast(24, tuple(range(7))), max_length=168)
    assert [len(beijing.source(split)) for split in SPLITS] == [30_676 - 168 - 23, 4_383 - 23, 8_765 - 23]


def test_beijing_is_scaled_by_its_first_seven_tenths(beijing: Forecasting, measurements: list[dict[str, str]]) -> None:
    for name, mean, scale in zip(TARGETS, beijing.schema.mean, beijing.schema.scale, strict=True):
        observed = [float(row[name]) for row in measurements[:30_676] if row[name] != "NA"]
        assert mean == pytest.approx(math.fsum(observed) / len(observed), rel=1e-9)
        variance = math.fsum((value - mean) ** 2 for value in observed) / len(observed)
        assert scale == pytest.approx(math.sqrt(variance), rel=1e-9)


def test_beijing_windows_hold_the_measurements_of_the_file(
    beijing: Forecasting, measurements: list[dict[str, str]]
) -> None:
    first_targets = {"train": 168, "val": 30_676, "test": 35_059}
    for split, first in first_targets.items():
        index = 1000
        batch = beijing.source(split)[np.array([index])]
        for step in range(24):
            row = measurements[first + index + step]
            for variable, name in enumerate(TARGETS):
                observed = row[name] != "NA"
                assert bool(batch.target_mask[0, step, variable]) == observed
                if observed:
                    scaled = (float(row[name]) - beijing.schema.mean[variable]) / beijing.schema.scale[variable]
                    assert batch.targets[0, step, variable].item() == pytest.approx(scaled, abs=1e-5)
        for step in range(168):
            row = measurements[first + index - 168 + step]
            winds = [float(row["cbwd"] == wind) for wind in ("NE", "NW", "SE", "cv")]
            assert batch.inputs[0, step, 7:11].tolist() == winds
            assert batch.inputs[0, step, 11].item() == float(row["pm2.5"] == "NA")


def test_beijing_counts_every_missing_value_once(beijing: Forecasting, measurements: list[dict[str, str]]) -> None:
    # windows that do not overlap cover the test part but for its last hours
    batch = beijing.source("test")[np.arange(0, 8_765 - 23, 24)]
    covered = measurements[35_059 : 35_059 + 24 * batch.num_examples]
    missing = sum(row["pm2.5"] == "NA" for row in covered)
    assert missing > 0
    assert int((~batch.target_mask).sum()) == int((~batch.target_mask[..., 0]).sum()) == missing
    assert batch.inputs.isfinite().all()
