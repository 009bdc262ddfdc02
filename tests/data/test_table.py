from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attnlab.data.table import read_table
from attnlab.errors import UserError


def refusal_of(path: str) -> str:
    with pytest.raises(UserError) as refusal:
        read_table(path)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("trailing", ["", "\n", "\n\n\n"])
def test_the_same_table_comes_in_many_dresses(write, name: str, mark: str, end: str, trailing: str) -> None:
    text = '\na, b ,"c, d"\n1, 2 ,"x, y"\n\n3,4,"say ""so"""' + trailing
    table = read_table(write((mark + text).replace("\n", end), name))
    assert list(table.columns) == ["a", "b", "c, d"]
    assert table.num_rows == 2
    np.testing.assert_array_equal(table.numbers("b", "data.targets"), [2.0, 4.0])
    assert table.texts("c, d", "data.categorical").tolist() == ["x, y", 'say "so"']


def test_an_entry_may_hold_a_line_break_and_later_lines_keep_their_numbers(write) -> None:
    table = read_table(write('a,b\n"one\ntwo",1\n\n3,x\n'))
    assert table.texts("a", "").tolist() == ["one\ntwo", "3"]
    with pytest.raises(UserError, match=r"line 5, column b: 'x' is not a number"):
        table.numbers("b", "data.targets")


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("a,b,c\n1,2\n3,4,5\n", 2, "2 entries"),
        ("a,b,c\n1,2,3\n4,5,6,7\n", 3, "4 entries"),
        ("a,b,c\n1,2,3\n4\n", 3, "1 entry"),
        ("\n\na,b,c\n\n1,2,3\n\n\n4,5\n6,7\n", 8, "2 entries"),
        ("a,b,c\r\n\r\n1,2,3\r\n4,5\r\n", 4, "2 entries"),
        ('a,b,c\n"1\n1",2,3\n4,5\n', 4, "2 entries"),
        ("a,b,c\n1,2,3\n   \n4,5,6\n", 3, "1 entry"),
        ("a,b,c\n1,2,3\n4,5,6,\n", 3, "4 entries"),
        ('a,b,c\n1,2,3\n\n4,"5,6\n7,8,9\n', 4, "2 entries"),
    ],
)
def test_a_ragged_line_is_named(write, name: str, text: str, line: int, found: str) -> None:
    path = write(text, name)
    assert refusal_of(path) == f"{path} line {line} has {found} where the header names 3 columns; mend that line"


def test_a_ragged_line_is_named_far_into_a_large_file(write) -> None:
    path = write("a,b\n" + "1000,2000\n" * 250_000 + "\n7\n")  # several of Arrow's blocks
    assert refusal_of(path) == f"{path} line 250003 has 1 entry where the header names 2 columns; mend that line"


@pytest.mark.parametrize("text", ["a,b", "a,b\n", "a,b\r\n\r\n"])
def test_a_header_alone_is_no_table(write, text: str) -> None:
    path = write(text)
    assert refusal_of(path) == f"{path} has a header and no rows; give a file with measurements"


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_text_in_another_encoding_is_refused_with_its_line(write, name: str) -> None:
    path = write("date,city\n2020,Bern\n2021,Zürich\n".encode("latin-1"), name)
    assert refusal_of(path) == f"{path} line 3 is not UTF-8 text; save the file as CSV in UTF-8"


def test_a_ragged_line_in_another_encoding_is_refused_without_noise(write, capfd) -> None:
    path = write(b"a,b\n1,2\n3,4,\xe9\n")
    assert refusal_of(path) == f"{path} line 3 is not UTF-8 text; save the file as CSV in UTF-8"
    assert capfd.readouterr() == ("", "")


def test_an_archive_cut_in_the_middle_is_refused(write) -> None:
    path = Path(write("a,b\n" + "".join(f"{row},{row * row % 997}\n" for row in range(99_000)), "table.csv.gz"))
    path.write_bytes(path.read_bytes()[:-5_000])
    message = refusal_of(str(path))
    assert message.startswith(f"{path} cannot be read (")
    assert message.endswith("or fetch it again")


def test_a_file_of_one_column_may_be_ragged_too(write) -> None:
    path = write("a;b\n1;2\n3,4;5\n")
    assert refusal_of(path) == f"{path} line 3 has 2 entries where the header names 1 column; mend that line"


def test_a_spreadsheet_saved_as_utf_16_is_refused(write) -> None:
    path = write("date,a\n2020,1\n".encode("utf-16"))
    assert refusal_of(path) == f"{path} line 1 is not UTF-8 text; save the file as CSV in UTF-8"


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_random_bytes_are_no_table(write, name: str, seed: int) -> None:
    path = write(np.random.default_rng(seed).bytes(3_000), name)
    assert refusal_of(path).startswith(path)


@pytest.mark.parametrize(("header", "name"), [('"a""c"', 'a"c'), ('a"c', 'a"c'), ('"a,c"', "a,c"), ('"a"c', "ac")])
def test_quotation_marks_in_a_header_are_read_as_everywhere(write, header: str, name: str) -> None:
    table = read_table(write(f"{header},b\n1,2\n"))
    assert list(table.columns) == [name, "b"]
    assert table.numbers("b", "").tolist() == [2.0]


def test_the_missing_column_is_answered_with_the_nearest_name(write) -> None:
    path = write("date,temperature,humidity\n1,2,3\n")
    table = read_table(path)
    with pytest.raises(UserError) as refusal:
        table.column("temprature", "data.targets")
    assert str(refusal.value) == (
        f"{path} has no column temprature, which data.targets names; did you mean temperature?"
    )


def test_the_missing_column_without_a_near_name_is_answered_with_all_names(write) -> None:
    path = write("date,temperature,humidity\n1,2,3\n")
    with pytest.raises(UserError) as refusal:
        read_table(path).numbers("xyz", "data.ignore")
    assert str(refusal.value) == (
        f"{path} has no column xyz, which data.ignore names; its columns are date, temperature, humidity"
    )


def test_a_name_with_an_invisible_letter_is_shown_with_it(write) -> None:
    table = read_table(write("\u200bdate,a\n1,2\n"))
    with pytest.raises(UserError, match=r"has no column date, .* did you mean '\\u200bdate'\?$"):
        table.column("date", "data.time")


def test_an_entry_that_swallowed_other_lines_is_not_quoted_whole(write) -> None:
    path = write('a,b\n1,"2\n' + "3,4\n" * 30)
    with pytest.raises(UserError) as refusal:
        read_table(path).numbers("b", "data.targets")
    shown = "'2\\n" + "3,4\\n" * 9 + "3,…'"
    assert f"line 2, column b: {shown} is not a number" in str(refusal.value)


def test_numbers_are_read_as_they_are_usually_written(write) -> None:
    entries = ["1", " -2.5 ", "+3", ".5", "4.", "1e3", "-1E-3", "007", '"6"', "99999999999"]
    column = read_table(write("a,b\n" + "\n".join(f"{entry},x" for entry in entries))).numbers("a", "")
    np.testing.assert_array_equal(column, [1, -2.5, 3, 0.5, 4, 1000, -0.001, 7, 6, 99999999999])


@pytest.mark.parametrize("marker", ["", "  ", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", " NA "])
def test_the_usual_marks_mean_not_measured(write, marker: str) -> None:
    table = read_table(write(f"a,b\n1,x\n{marker},{marker}\n"))
    np.testing.assert_array_equal(table.numbers("a", ""), [1.0, np.nan])
    assert table.texts("b", "").tolist() == ["x", ""]


@pytest.mark.parametrize(
    "entry",
    ["x", "inf", "-Infinity", "1,234", "1 234", "1.2.3", "0x10", "1e", "--1", "12%", "1_000", "?", "\x00", "１"],
)
def test_an_entry_that_is_not_a_number_is_named(write, entry: str) -> None:
    path = write(f'\na,b\n\n1,2\n"{entry}",3\n')
    with pytest.raises(UserError) as refusal:
        read_table(path).numbers("a", "data.targets")
    assert str(refusal.value) == (
        f"{path} line 5, column a: {entry!r} is not a number; mend the file (nothing measured: an empty entry), "
        "or name the column in data.categorical or data.ignore"
    )


@pytest.mark.parametrize(
    ("entry", "shown"),
    [("1e400", "1e400"), ("-1e400", "-1e400"), ("9.96921e36", "9.96921e36"), ("1" * 400, "1" * 40 + "…")],
)
def test_a_number_beyond_all_measure_is_named(write, entry: str, shown: str) -> None:
    path = write(f"a,b\n1,2\n,2\n{entry},3\n")
    with pytest.raises(UserError) as refusal:
        read_table(path).numbers("a", "data.targets")
    assert str(refusal.value) == (
        f"{path} line 4, column a: {shown!r} is too large; leave the entry empty where nothing was measured, "
        "or give the column another unit"
    )


@pytest.mark.parametrize(
    "entries",
    [
        ["2014-12-31", "2015-01-01"],
        ["2014-12-31 00:00", "2015-01-01 00:00"],
        ["2014-12-31T00:00:00", "2015-01-01T00:00:00"],
        [" 2014-12-31 00:00:00", "2015-01-01 00:00:00 "],
    ],
)
def test_time_stamps_are_iso_dates(write, entries: list[str]) -> None:
    times = read_table(write("t,a\n" + "\n".join(f"{entry},1" for entry in entries))).times(["t"])
    np.testing.assert_array_equal(times, np.array(["2014-12-31", "2015-01-01"], "datetime64[s]"))


@pytest.mark.parametrize("entry", ["31.12.2014", "2014/12/31", "2014-13-01", "yesterday", "", "NA", "2014"])
def test_an_entry_that_is_not_a_time_is_named(write, entry: str) -> None:
    path = write(f"t,a\n2014-12-31,1\n\n{entry},2\n")
    with pytest.raises(UserError) as refusal:
        read_table(path).times(["t"])
    assert str(refusal.value) == (
        f"{path} line 4, column t: {entry!r} is not a time such as 2014-12-31 23:00:00; mend the file or let "
        "data.time name another column"
    )


def test_time_stamps_are_put_together_from_columns(write) -> None:
    table = read_table(write("y,mo,d,h,mi,s\n2020,2,28,23,59,58\n2020,2,29,0,0,0\n1969,12,31,1,2,3\n"))
    names = ["y", "mo", "d", "h", "mi", "s"]
    expected = [["2020-02-28", "2020-02-29", "1969-12-31"]]
    expected.append(["2020-02-28T23", "2020-02-29T00", "1969-12-31T01"])
    expected.append(["2020-02-28T23:59", "2020-02-29T00:00", "1969-12-31T01:02"])
    expected.append(["2020-02-28T23:59:58", "2020-02-29T00:00:00", "1969-12-31T01:02:03"])
    for count, times in enumerate(expected, start=3):
        np.testing.assert_array_equal(table.times(names[:count]), np.array(times, "datetime64[s]"))


def test_hours_may_count_to_twenty_four(write) -> None:
    times = read_table(write("y,m,d,h\n2020,2,29,23\n2020,2,29,24\n2020,3,1,1\n")).times(["y", "m", "d", "h"])
    assert np.diff(times).astype(int).tolist() == [3600, 3600]


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        ("2020,13,1,0", "m", "the month is 13, where a whole number from 1 to 12 was expected"),
        ("2020,1,1.5,0", "d", "the day is 1.5, where a whole number from 1 to 31 was expected"),
        ("2020,1,1,25", "h", "the hour is 25, where a whole number from 0 to 24 was expected"),
        ("1e17,1,1,0", "y", "the year is 1e+17, where a whole number from 1 to 9999 was expected"),
        ("2020,NA,1,0", "m", "the month is nothing, where a whole number from 1 to 12 was expected"),
    ],
)
def test_a_part_of_a_time_that_cannot_be_is_named(write, row: str, column: str, reason: str) -> None:
    path = write(f"y,m,d,h\n\n2020,1,1,0\n{row}\n")
    with pytest.raises(UserError) as refusal:
        read_table(path).times(["y", "m", "d", "h"])
    assert str(refusal.value) == (
        f"{path} line 4, column {column}: {reason}; mend the file, or the order of the columns in data.time"
    )


@pytest.mark.parametrize("names", [[], ["y", "m"], ["y", "m", "d", "h", "mi", "s", "more"]])
def test_a_time_is_one_column_or_three_to_six(write, names: list[str]) -> None:
    table = read_table(write("y,m,d,h,mi,s,more\n2020,1,1,0,0,0,0\n"))
    with pytest.raises(UserError) as refusal:
        table.times(names)
    assert str(refusal.value) == (
        f"data.time=[{','.join(names)}] must name one column of time stamps, or from three to six columns: "
        "year, month, day, hour, minute, second, in this order"
    )
