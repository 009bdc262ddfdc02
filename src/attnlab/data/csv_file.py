"""A CSV file as text: where it is, what its first line names, and which of its lines holds a row."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from contextlib import suppress
from pathlib import Path

from attnlab.errors import UserError

#: `path: embedded:NAME` is a file that comes with the package.
EMBEDDED = "embedded:"
ASSETS = Path(__file__).parent / "assets"


def locate(path: str) -> str:
    """Where a path really is, the files that come with the package included.

    Raises:
        UserError: nowhere.
    """
    if path.startswith(EMBEDDED):
        located = ASSETS / path.removeprefix(EMBEDDED)
        if not located.is_file():
            known = ", ".join(EMBEDDED + file.name for file in sorted(ASSETS.iterdir()))
            raise UserError(f"{path} does not come with attnlab; give the path of a CSV file, or one of {known}")
        return str(located)
    if not Path(path).is_file():
        raise UserError(f"{path} is not a file (looked from {Path.cwd()}); give the path of a CSV file")
    return path


def open_bytes(path: str) -> gzip.GzipFile | io.BufferedReader:
    located = locate(path)
    return gzip.GzipFile(located) if located.endswith(".gz") else open(located, "rb")


def open_text(path: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", errors="replace")


def check_text(path: str) -> None:
    """Reads the file once, before others do.

    Raises:
        UserError: it is damaged, or some line is not UTF-8.
    """
    try:
        with open_bytes(path) as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError:
                    raise UserError(f"{path} line {number} is not UTF-8 text; save the file as CSV in UTF-8") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"{path} cannot be read ({error}); check that it is a CSV file, compressed only if it is called .gz, "
            "or fetch it again"
        ) from error


def read_header(path: str) -> list[str]:
    """The column names as they stand in the file, the blanks around them included.

    Raises:
        UserError: the file has no rows, or a name is missing or given twice.
    """
    try:
        with open_text(path) as file:
            rows = (entries for entries in csv.reader(file) if entries)
            header, first = next(rows, None), next(rows, None)
    except csv.Error as error:
        raise UserError(f"{path} does not begin with a line of column names ({error}); give a CSV file") from error
    if header is None:
        raise UserError(f"{path} is empty; give a file with a header line and measurements")
    broken = next((name for name in header if "\n" in name), None)
    if broken is not None:
        raise UserError(
            f"{path} has a line break in the column name {broken[:20]!r}; close the quotation mark before it"
        )
    if first is None:
        raise UserError(f"{path} has a header and no rows; give a file with measurements")
    names = [name.strip() for name in header]
    if "" in names:
        raise UserError(
            f"{path} gives column {names.index('') + 1} of {len(names)} no name in its header; name it, "
            "or take the comma away"
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path} names the column {twice!r} twice in its header; rename one of them")
    return header


def line_of_row(path: str, row: int) -> int:
    """The line on which a row (0-based, the header is none) begins.

    Blank lines are no rows, and a quoted entry may hold several lines.
    """
    begins = 1
    # csv refuses an entry of over 131,072 characters: an open quotation mark, in the very row that is looked for
    with open_text(path) as file, suppress(csv.Error):
        reader = csv.reader(file)
        seen = -2  # the header is not a row
        for entries in reader:
            seen += bool(entries)
            if seen == row:
                break
            begins = reader.line_num + 1
    return begins
