from __future__ import annotations

import numpy as np
import pytest

from attnlab.data.table import Table, read_table
from attnlab.data.table_checks import check_names, check_range, check_variation, regular_step
from attnlab.errors import UserError


@pytest.fixture
def table(write) -> Table:
    """Two columns, whose rows 0, 1, 2 … stand on lines 2, 4, 5 …"""
    return read_table(write("date,load\n1,1\n\n" + "2,2\n" * 8))


def test_names_that_play_one_part_each_are_fine(table: Table) -> None:
    check_names(table, {"data.time": ["date"], "data.targets": ["load"], "data.ignore": []})


def test_a_column_in_two_parts_is_refused(table: Table) -> None:
    with pytest.raises(UserError) as refusal:
        check_names(table, {"data.categorical": ["load"], "data.targets": ["load"]})
    assert str(refusal.value) == "data.targets names the column load, which data.categorical names too; choose one"


def test_a_column_named_twice_is_refused(table: Table) -> None:
    with pytest.raises(UserError, match=r"^data\.targets names the column load twice; name it once$"):
        check_names(table, {"data.targets": ["load", "date", "load"]})


def test_the_option_that_names_an_unknown_column_is_the_one_that_is_told(table: Table) -> None:
    options = {"data.time": ["date"], "data.categorical": [], "data.ignore": ["lod"], "data.targets": ["nil"]}
    with pytest.raises(UserError, match=r"no column lod, which data\.ignore names; did you mean load\?"):
        check_names(table, options)


def test_a_column_without_a_value_is_refused(table: Table) -> None:
    with pytest.raises(UserError) as refusal:
        check_variation(table, ["date", "load"], np.array([[1.0, np.nan], [2.0, np.nan]]))
    assert str(refusal.value) == (
        f"{table.path}, column load: every value of the training part is missing; leave it out with data.ignore=[load]"
    )


@pytest.mark.parametrize(
    ("column", "shown"), [([0.1, 0.1, 0.1], "0.1"), ([np.nan, 3.0, 3.0], "3"), ([0, 0, 1e-200], "0")]
)
def test_a_column_that_does_not_vary_is_refused(table: Table, column: list[float], shown: str) -> None:
    with pytest.raises(UserError) as refusal:
        check_variation(table, ["load"], np.array(column)[:, None])
    assert str(refusal.value) == (
        f"{table.path}, column load: every value of the training part is {shown}, so it can neither be scaled nor "
        "teach anything; leave it out with data.ignore=[load]"
    )


def test_a_value_out_of_all_proportion_is_refused_with_its_line(table: Table) -> None:
    values = np.ones((4, 2))
    values[2, 1] = 5e15
    check_range(table, ["date", "load"], values, values / 1e4)
    with pytest.raises(UserError) as refusal:
        check_range(table, ["date", "load"], values, values)
    assert str(refusal.value) == (
        f"{table.path} line 5, column load: 5e+15 is out of all proportion to the training part (5e+15 of its "
        "standard deviations from the mean); leave the entry empty where nothing was measured"
    )


def hours(*numbers: int) -> np.ndarray:
    return np.datetime64("2020-01-01T00:00:00") + np.array(numbers) * np.timedelta64(3600, "s")


@pytest.mark.parametrize(("times", "step"), [(hours(4), 0), (hours(0, 1), 3600), (hours(5, 8, 11, 14), 10_800)])
def test_the_step_is_that_between_rows(table: Table, times: np.ndarray, step: int) -> None:
    assert regular_step(table, times) == step


@pytest.mark.parametrize(
    ("times", "line", "pair"),
    [
        (hours(0, 1, 2, 4, 5), 6, (4, 2)),  # a gap
        (hours(0, 1, 1, 2, 3), 5, (1, 1)),  # a row twice
        (hours(0, 1, 3, 2, 4, 5), 5, (3, 1)),  # two rows exchanged
        (hours(0, 3, 4, 5, 6), 4, (3, 0)),  # a gap at the beginning
    ],
)
def test_a_time_out_of_step_is_refused_with_its_line(
    table: Table, times: np.ndarray, line: int, pair: tuple[int, int]
) -> None:
    with pytest.raises(UserError) as refusal:
        regular_step(table, times)
    later, earlier = hours(*pair)
    assert str(refusal.value) == (
        f"{table.path} line {line}: {later} follows {earlier}, but rows must be in order and 3600 s apart throughout; "
        "sort the file, take out rows that come twice, fill in the missing ones with empty values, "
        "or cut the file there"
    )


@pytest.mark.parametrize("times", [hours(3, 2, 1, 0), hours(0, 1, 1, 1)])
def test_times_that_fall_or_stand_are_refused_at_the_first(table: Table, times: np.ndarray) -> None:
    line = 4 if times[1] < times[0] else 5
    with pytest.raises(UserError, match=rf"line {line}: .* rows must be in order and equally far apart throughout"):
        regular_step(table, times)
