"""Reads a table of measurements, and says in one sentence what is wrong with it."""

from __future__ import annotations

import csv
import difflib
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from attnlab.errors import UserError

#: What counts as "not measured".
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None")
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
#: `path: embedded:NAME` is a file that comes with the package.
EMBEDDED = "embedded:"


@dataclass(frozen=True)
class Table:
    """The text of each column, and where it came from."""

    path: str
    columns: dict[str, pa.ChunkedArray]
    num_rows: int

    def column(self, name: str, option: str) -> pa.ChunkedArray:
        """A column by name.

        Raises:
            UserError: there is none of that name.
        """
        if name not in self.columns:
            near = difflib.get_close_matches(name, self.columns, n=1)
            hint = f"did you mean {near[0]}?" if near else f"its columns are {', '.join(self.columns)}"
            raise UserError(f"{self.path} has no column {name}, which {option} names; {hint}")
        return self.columns[name]

    def numbers(self, name: str, option: str) -> np.ndarray:
        """A column as float64, NaN where missing.

        Raises:
            UserError: an entry that is neither a number nor a missing-value marker.
        """
        text = pc.utf8_trim_whitespace(self.column(name, option))
        missing = pc.is_in(text, value_set=pa.array(MISSING))
        wrong = pc.invert(pc.or_(missing, pc.match_substring_regex(text, NUMBER)))
        if pc.any(wrong).as_py():
            row = pc.index(wrong, True).as_py()
            raise UserError(
                f"{self.path} line {self.line(row)}, column {name}: {text[row].as_py()!r} is not a number; mend the file, "
                f"or name the column in data.categorical or data.ignore"
            )
        values = pc.cast(pc.if_else(missing, None, text), pa.float64())
        return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)

    def texts(self, name: str, option: str) -> np.ndarray:
        """A column as strings; missing entries are empty."""
        text = pc.utf8_trim_whitespace(self.column(name, option))
        text = pc.if_else(pc.is_in(text, value_set=pa.array(MISSING)), "", text)
        return np.asarray(text.to_pylist(), dtype=object)

    def times(self, names: Sequence[str]) -> np.ndarray:
        """Time stamps [rows] from one column of ISO dates, or from columns of year, month, day, hour, minute.

        Raises:
            UserError: an entry that is not a time.
        """
        if len(names) == 1:
            return self._iso_times(names[0])
        parts = [self.numbers(name, "data.time") for name in names]
        for name, part in zip(names, parts, strict=True):
            bad = np.flatnonzero(~np.isfinite(part) | (part != np.round(part)))
            if len(bad):
                raise UserError(
                    f"{self.path} line {self.line(bad[0])}, column {name}: part of the time stamp is missing or "
                    "not a whole number; mend the file"
                )
        year, month, day, *clock = (part.astype(int) for part in parts)
        days = (year - 1970).astype("datetime64[Y]").astype("datetime64[M]") + (month - 1)
        times = (days.astype("datetime64[D]") + (day - 1)).astype("datetime64[s]")
        for amount, seconds in zip(clock, (3600, 60, 1), strict=False):
            times = times + (amount * seconds).astype("timedelta64[s]")
        return times

    def _iso_times(self, name: str) -> np.ndarray:
        text = pc.utf8_trim_whitespace(self.column(name, "data.time"))
        try:
            return np.asarray(pc.cast(text, pa.timestamp("s")).to_numpy()).astype("datetime64[s]")
        except pa.ArrowInvalid:
            for row, entry in enumerate(text.to_pylist()):
                try:
                    pa.scalar(entry).cast(pa.timestamp("s"))
                except pa.ArrowInvalid:
                    raise UserError(
                        f"{self.path} line {self.line(row)}, column {name}: {entry!r} is not a time such as "
                        "2014-12-31 23:00:00; mend the file or let data.time name another column"
                    ) from None
            raise

    def line(self, row: int) -> int:
        """The line of the file that holds a row (0-based): blank lines are no rows."""
        with open_text(self.path) as file:
            seen = -2  # the header is not a row
            for number, text in enumerate(file, start=1):
                seen += bool(text.strip())
                if seen == row:
                    return number
        return row + 2


def read_table(path: str) -> Table:
    """A comma-separated file with a header line, plain or gzip-compressed, every entry kept as text.

    Raises:
        UserError: no such file, nothing in it, a name given twice, or a line with too few or too many entries.
    """
    located = locate(path)
    header = _header(path)
    ragged: list[tuple[int, int]] = []

    def note(row: pa_csv.InvalidRow) -> str:
        ragged.append((row.number or 0, row.actual_columns))
        return "skip"  # the reading goes on, so that Arrow raises nothing of its own; we refuse below

    try:
        with pa.input_stream(located, compression="detect") as stream:
            table = pa_csv.read_csv(
                stream,
                read_options=pa_csv.ReadOptions(use_threads=False),  # else rows have no numbers
                parse_options=pa_csv.ParseOptions(invalid_row_handler=note),
                convert_options=pa_csv.ConvertOptions(
                    column_types={name: pa.string() for name in header}, strings_can_be_null=False
                ),
            )
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} cannot be read as comma-separated text: {str(error).splitlines()[0]}") from error
    if ragged:
        row, found = ragged[0]
        line = Table(path, {}, 0).line(row - 2) if row else "?"  # Arrow counts the header as row 1
        raise UserError(
            f"{path} line {line} has {found} entries where the header names {len(header)} columns; mend that line"
        )
    if table.num_rows == 0:
        raise UserError(f"{path} has a header and no rows; give a file with measurements")
    return Table(path, {name: table.column(name) for name in header}, table.num_rows)


def locate(path: str) -> str:
    """Where a path really is, the files that come with the package included.

    Raises:
        UserError: nowhere.
    """
    if path.startswith(EMBEDDED):
        return str(Path(__file__).parent / "assets" / path.removeprefix(EMBEDDED))
    if not Path(path).is_file():
        raise UserError(f"{path} is not a file (looked from {Path.cwd()}); give the path of a CSV file")
    return path


def open_text(path: str) -> IO[str]:
    located = locate(path)
    if located.endswith(".gz"):
        return gzip.open(located, "rt", encoding="utf-8-sig", errors="replace")
    return open(located, encoding="utf-8-sig", errors="replace")


def _header(path: str) -> list[str]:
    try:
        with open_text(path) as file:
            first = next((line for line in file if line.strip()), None)
    except (OSError, EOFError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if first is None:
        raise UserError(f"{path} is empty; give a file with a header line and measurements")
    header = next(csv.reader([first]))
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path} names the column {twice!r} twice in its header; rename one of them")
    return header
