"""Reads a table of measurements, and says in one sentence what is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from attnlab.data.csv_file import check_text, line_of_row, open_bytes, read_header
from attnlab.errors import UserError

#: What counts as "not measured".
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None")
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
#: Beyond this a number is no measurement but a fault, or a mark for "missing"; its square would overflow in float32.
LARGEST = 1e18
#: Characters of an entry that a message quotes.
LONGEST_SHOWN = 40
#: What the columns of data.time hold, where there are several: least and greatest. Some count hours from 1 to 24.
TIME_PARTS = {
    "year": (1, 9999),
    "month": (1, 12),
    "day": (1, 31),
    "hour": (0, 24),
    "minute": (0, 59),
    "second": (0, 59),
}


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
            near = next(iter(difflib.get_close_matches(name, self.columns, n=1)), None)
            shown = near if near is None or near.isprintable() else repr(near)
            hint = f"did you mean {shown}?" if near else f"its columns are {', '.join(self.columns)}"
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
                f"{self.path} line {self.line(row)}, column {name}: {_shown(text[row])} is not a number; mend the "
                "file (nothing measured: an empty entry), or name the column in data.categorical or data.ignore"
            )
        values = pc.cast(pc.if_else(missing, None, text), pa.float64())
        numbers = np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)
        huge = np.flatnonzero(np.abs(numbers) > LARGEST)
        if len(huge):
            row = int(huge[0])
            raise UserError(
                f"{self.path} line {self.line(row)}, column {name}: {_shown(text[row])} is too large; leave the entry "
                "empty where nothing was measured, or give the column another unit"
            )
        return numbers

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
        if not 3 <= len(names) <= len(TIME_PARTS):
            raise UserError(
                f"data.time=[{','.join(names)}] must name one column of time stamps, or from three to six columns: "
                f"{', '.join(TIME_PARTS)}, in this order"
            )
        parts = [self.numbers(name, "data.time") for name in names]
        for name, part, (kind, (least, greatest)) in zip(names, parts, TIME_PARTS.items(), strict=False):
            bad = np.flatnonzero(~((part >= least) & (part <= greatest) & (part == np.round(part))))
            if len(bad):
                row = int(bad[0])
                found = "nothing" if np.isnan(part[row]) else f"{part[row]:g}"
                raise UserError(
                    f"{self.path} line {self.line(row)}, column {name}: the {kind} is {found}, where a whole number "
                    f"from {least} to {greatest} was expected; mend the file, or the order of the columns in data.time"
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
            for row, entry in enumerate(text):
                try:
                    entry.cast(pa.timestamp("s"))
                except pa.ArrowInvalid:
                    raise UserError(
                        f"{self.path} line {self.line(row)}, column {name}: {_shown(entry)} is not a time such as "
                        "2014-12-31 23:00:00; mend the file or let data.time name another column"
                    ) from None
            raise

    def line(self, row: int) -> int:
        return line_of_row(self.path, row)


def _shown(entry: pa.StringScalar) -> str:
    """An entry as a message quotes it. An open quotation mark may have swallowed half the file."""
    text: str = entry.as_py()
    return repr(text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…")


def read_table(path: str) -> Table:
    """A comma-separated file with a header line, plain or gzip-compressed, every entry kept as text.

    Raises:
        UserError: no such file, nothing in it, no text, a header that names nothing or the same twice, or a line with
            too few or too many entries.
    """
    check_text(path)
    header = read_header(path)
    ragged: list[tuple[int, int]] = []

    def note(row: pa_csv.InvalidRow) -> str:
        ragged.append((row.number or 0, row.actual_columns))
        return "skip"  # the reading goes on, so that Arrow raises nothing of its own; we refuse below

    try:
        with open_bytes(path) as stream:
            table = pa_csv.read_csv(
                stream,
                read_options=pa_csv.ReadOptions(use_threads=False),  # else rows have no numbers
                parse_options=pa_csv.ParseOptions(invalid_row_handler=note),
                convert_options=pa_csv.ConvertOptions(
                    column_types={name: pa.string() for name in header}, strings_can_be_null=False
                ),
            )
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is not comma-separated text ({reason}); give a CSV file with a header line") from error
    assert table.column_names == header  # csv and Arrow split a line alike
    if ragged:
        row, found = ragged[0]
        line = line_of_row(path, row - 2)  # Arrow counts the header as row 1
        raise UserError(
            f"{path} line {line} has {found} {'entry' if found == 1 else 'entries'} where the header names "
            f"{len(header)} {'column' if len(header) == 1 else 'columns'}; mend that line"
        )
    return Table(path, {name.strip(): table.column(name) for name in header}, table.num_rows)
