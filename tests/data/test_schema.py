from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from attnlab.data.schema import TableSchema, carry_forward, cycle_phase
from attnlab.data.table import read_table
from attnlab.errors import UserError

#: Two targets are chosen out of three numeric columns, in another order than in the file.
ROWS = ["1,10,N,5,7", "3,,S,5,8", "5,30,N,6,", "3,20,,4,9", "100,,E,500,1", "-9,-7,N,,3"]
OPTIONS = {"time": ["date"], "targets": ["b", "a"], "categorical": ["wind"], "ignore": ["noise"]}


def fit(path: str, **options: object) -> TableSchema:
    return TableSchema.fit(read_table(path), **{"num_train": 4, **OPTIONS, **options})  # type: ignore[arg-type]


@pytest.fixture
def path(write, hourly) -> str:
    return write(hourly("a,b,wind,c,noise", ROWS))


def test_scales_and_categories_are_those_of_the_training_part(path: str) -> None:
    schema = fit(path)
    assert schema.numeric == ["b", "a", "c"]
    assert schema.targets == ["b", "a"]
    np.testing.assert_allclose(schema.mean, [20, 3, 5])
    np.testing.assert_allclose(schema.scale, [math.sqrt(200 / 3), math.sqrt(2), math.sqrt(0.5)])
    assert schema.categories == {"wind": ["N", "S"]}
    assert schema.flagged == ["b"]
    assert schema.step_seconds == 3600


def test_every_channel_of_a_small_table_is_the_one_worked_out_by_hand(path: str) -> None:
    table = read_table(path)
    inputs, targets, times = fit(path).apply(table)
    b, a, c = 1 / math.sqrt(200 / 3), 1 / math.sqrt(2), 1 / math.sqrt(0.5)
    expected = np.array(
        [  # b           a       c        N  S  b is missing
            [-10 * b, -2 * a, 0 * c, 1, 0, 0],
            [-10 * b, 0 * a, 0 * c, 0, 1, 1],
            [10 * b, 2 * a, 1 * c, 1, 0, 0],
            [0 * b, 0 * a, -1 * c, 0, 0, 0],
            [0 * b, 97 * a, 495 * c, 0, 0, 1],
            [-27 * b, -12 * a, 495 * c, 1, 0, 0],
        ]
    )
    np.testing.assert_allclose(inputs[:, :6], expected, rtol=1e-6, atol=1e-6)
    expected[[1, 4], 0] = np.nan
    np.testing.assert_allclose(targets, expected[:, :2], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(times, np.datetime64("2020-02-28T00", "s") + 3600 * np.arange(6))
    assert inputs.shape[1] == fit(path).num_channels == 6 + 2 * 3


def test_what_comes_after_the_training_part_changes_nothing(write, hourly, path: str) -> None:
    altered = write(hourly("a,b,wind,c,noise", [*ROWS[:4], "7,7,W,,", ",1e6,,8,0"]), "altered.csv")
    assert fit(altered) == fit(path)


def test_without_targets_every_numeric_column_is_one(path: str) -> None:
    schema = fit(path, targets=None)
    assert schema.targets == schema.numeric == ["a", "b", "c"]


def test_a_table_without_a_numeric_column_is_refused(path: str) -> None:
    with pytest.raises(UserError, match=r"has no numeric column left to forecast; name some in data\.targets$"):
        fit(path, targets=None, ignore=["a", "b", "c", "noise"])


@pytest.mark.parametrize("targets", [["a", "wind"], ["noise"], ["date"]])
def test_a_target_has_no_other_part_to_play(path: str, targets: list[str]) -> None:
    with pytest.raises(UserError, match=rf"^data\.targets names the column {targets[-1]}, which data\.\w+ names too"):
        fit(path, targets=targets)


def test_a_column_of_names_is_no_target_unless_it_is_said_to_be_categorical(path: str) -> None:
    with pytest.raises(UserError, match=r"line 2, column wind: 'N' is not a number; .* in data\.categorical or"):
        fit(path, categorical=[])


def test_a_category_that_is_never_seen_in_training_is_refused(write, hourly) -> None:
    path = write(hourly("a,wind", ["1,", "2,", "3,NA", "4,", "5,N"]))
    with pytest.raises(UserError) as refusal:
        fit(path, targets=["a"], ignore=[])
    assert str(refusal.value) == (
        f"{path}, column wind: every entry of the training part is missing; take it out of data.categorical and "
        "leave it out with data.ignore"
    )


def test_a_table_of_another_kind_is_refused(write, hourly, path: str) -> None:
    schema = fit(path)
    without_wind = write(hourly("a,b,c", ["1,2,3", "4,5,6"]), "other.csv")
    with pytest.raises(UserError, match=r"other\.csv has no column wind, which the trained model names; its columns"):
        schema.apply(read_table(without_wind))
    daily = write("date,a,b,wind,c\n2020-01-01,1,2,N,3\n2020-01-02,4,5,N,6\n", "daily.csv")
    with pytest.raises(UserError) as refusal:
        schema.apply(read_table(daily))
    assert str(refusal.value) == f"{daily} has a row every 86400 s, but the model was trained on one every 3600 s"


def test_a_value_that_would_overflow_is_refused_with_its_line(write, hourly, path: str) -> None:
    spoilt = write(hourly("a,b,wind,c,noise", [*ROWS, "1e15,1,N,2,3"]), "spoilt.csv")
    with pytest.raises(UserError, match=r"spoilt\.csv line 8, column a: 1e\+15 is out of all proportion"):
        fit(path).apply(read_table(spoilt))


def test_a_schema_survives_as_plain_values(path: str) -> None:
    schema = fit(path)
    assert TableSchema(**json.loads(json.dumps(schema.to_dict()))) == schema


@pytest.mark.parametrize(
    ("step_seconds", "cycles"),
    [(3600, ["day", "week", "year"]), (86_400, ["week", "year"]), (7 * 86_400, ["year"]), (366 * 86_400, [])],
)
def test_a_cycle_no_longer_than_a_step_says_nothing(path: str, step_seconds: int, cycles: list[str]) -> None:
    schema = dataclasses.replace(fit(path), step_seconds=step_seconds)
    assert schema.cycles == cycles
    assert schema.num_channels == 3 + 2 + 1 + 2 * len(cycles)


def test_a_gap_keeps_the_last_value_before_it() -> None:
    nan = math.nan
    values = np.array([[nan, 1.0], [2.0, nan], [nan, nan], [nan, 4.0], [5.0, nan]])
    expected = [[0, 1], [2, 1], [2, 1], [2, 4], [5, 4]]
    np.testing.assert_array_equal(carry_forward(values), expected)


def test_carrying_forward_agrees_with_a_loop() -> None:
    random = np.random.default_rng(3)
    values = np.where(random.random((53, 5)) < 0.6, np.nan, random.normal(size=(53, 5)))
    values[:, 4] = np.nan
    expected = np.zeros_like(values)
    for column in range(5):
        last = 0.0
        for row in range(53):
            last = last if math.isnan(values[row, column]) else values[row, column]
            expected[row, column] = last
    np.testing.assert_array_equal(carry_forward(values), expected)


@pytest.mark.parametrize(
    ("time", "cycle", "turn"),
    [
        ("2020-02-29T06:00", 86_400.0, 0.25),
        ("2020-03-02T00:00", 7 * 86_400.0, 0.0),  # a Monday
        ("2020-03-05T12:00", 7 * 86_400.0, 0.5),  # Thursday noon
        ("1965-06-07T00:00", 7 * 86_400.0, 0.0),  # a Monday before 1970
        ("1970-01-01T00:00", 365.2425 * 86_400.0, 0.0),
        ("2370-01-01T00:00", 365.2425 * 86_400.0, 0.0),  # 400 years are a whole number of days
    ],
)
def test_a_phase_is_a_turn_of_the_circle(time: str, cycle: float, turn: float) -> None:
    (phase,) = cycle_phase(np.array([time], "datetime64[s]"), cycle)
    expected = [math.sin(2 * math.pi * turn), math.cos(2 * math.pi * turn)]
    np.testing.assert_allclose(phase, expected, atol=1e-9)
