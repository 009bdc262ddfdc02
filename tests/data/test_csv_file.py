from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from attnlab.data.csv_file import check_text, line_of_row, locate, open_text, read_header
from attnlab.errors import UserError


def test_an_embedded_file_comes_with_the_package() -> None:
    assert Path(locate("embedded:beijing_pm25.csv.gz")).is_file()


def test_an_unknown_embedded_file_is_answered_with_those_there_are() -> None:
    with pytest.raises(UserError) as refusal:
        locate("embedded:beijing.csv")
    message = str(refusal.value)
    assert message.startswith("embedded:beijing.csv does not come with attnlab; give the path of a CSV file, or one of")
    assert "embedded:beijing_pm25.csv.gz" in message


@pytest.mark.parametrize("name", ["nowhere.csv", ""])
def test_a_file_that_is_not_there_is_named_with_the_folder_it_was_looked_for(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)  # "" is the folder itself
    with pytest.raises(UserError) as refusal:
        check_text(path)
    assert str(refusal.value) == f"{path} is not a file (looked from {Path.cwd()}); give the path of a CSV file"


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_header_is_read_whatever_the_line_ends_and_marks(write, name: str, mark: str, end: str) -> None:
    path = write(f'{mark}{end}date,"a, b",c{end}1,2,3{end}', name)
    assert read_header(path) == ["date", "a, b", "c"]


@pytest.mark.parametrize("content", ["", "\n\n\r\n", "\ufeff"])
def test_an_empty_file_is_refused(write, content: str) -> None:
    path = write(content)
    with pytest.raises(UserError) as refusal:
        read_header(path)
    assert str(refusal.value) == f"{path} is empty; give a file with a header line and measurements"


def test_a_name_given_twice_is_refused_also_where_blanks_hide_it(write) -> None:
    path = write("date,a,b, a\n1,2,3,4\n")
    with pytest.raises(UserError) as refusal:
        read_header(path)
    assert str(refusal.value) == f"{path} names the column 'a' twice in its header; rename one of them"


@pytest.mark.parametrize(("header", "number"), [(",a,b", 1), ("a,b,", 3), ("a, ,b", 2)])
def test_a_column_without_a_name_is_refused(write, header: str, number: int) -> None:
    path = write(header + "\n1,2,3\n")
    with pytest.raises(UserError) as refusal:
        read_header(path)
    assert str(refusal.value) == (
        f"{path} gives column {number} of 3 no name in its header; name it, or take the comma away"
    )


@pytest.mark.parametrize("text", ['a,"b\n1,2\n3,4\n', 'a,"b\n1",c\n2,3,4\n'])
def test_an_open_quotation_mark_in_the_header_is_named(write, text: str) -> None:
    path = write(text)
    with pytest.raises(
        UserError, match=r"has a line break in the column name 'b\\n1.*'; close the quotation mark before"
    ):
        read_header(path)


@pytest.mark.parametrize(("text", "line"), [("date,Größe\n1,2\n", 1), ("date,city\n\n1,Bern\n2,Zürich\n", 4)])
def test_text_in_another_encoding_is_refused_with_its_line(write, text: str, line: int) -> None:
    check_text(write(text))
    path = write(text.encode("latin-1"))
    with pytest.raises(UserError) as refusal:
        check_text(path)
    assert str(refusal.value) == f"{path} line {line} is not UTF-8 text; save the file as CSV in UTF-8"


def test_a_first_line_of_monstrous_length_is_refused(write) -> None:
    path = write("a" * 200_000)
    with pytest.raises(UserError, match=r"does not begin with a line of column names .*; give a CSV file$"):
        read_header(path)


@pytest.mark.parametrize("damage", ["cut", "altered", "never compressed"])
def test_a_damaged_archive_is_refused(tmp_path: Path, damage: str) -> None:
    text = b"date,a\n" + b"".join(b"%d,%d\n" % (row, row * row) for row in range(9_000))
    whole = bytearray(gzip.compress(text))
    if damage == "altered":
        whole[12:400] = bytes(388)
    content = {"cut": bytes(whole[:12]), "altered": bytes(whole), "never compressed": text}[damage]
    path = tmp_path / "table.csv.gz"
    path.write_bytes(content)
    with pytest.raises(UserError) as refusal:
        check_text(str(path))
    assert str(refusal.value).startswith(f"{path} cannot be read (")
    assert "compressed only if it is called .gz, or fetch it again" in str(refusal.value)


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
def test_rows_are_found_behind_blank_lines_and_entries_of_several_lines(write, name: str) -> None:
    path = write('\n\na,b\n1,2\n\n"of\nthree\nlines",4\n   \n5,6\n', name)
    # lines    1 2 3    4   5  6                        9      10
    assert [line_of_row(path, row) for row in range(4)] == [4, 6, 9, 10]


def test_an_open_quotation_mark_is_found_where_it_opens(write) -> None:
    path = write('a,b\n1,2\n\n3,"4\n' + "5,6\n" * 50_000)
    assert line_of_row(path, 1) == 4


def test_the_mark_at_the_beginning_is_no_part_of_the_text(write) -> None:
    with open_text(write("\ufeffa\n")) as file:
        assert file.read() == "a\n"
