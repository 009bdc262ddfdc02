"""Files as users have them: either read whole, or refused in one sentence that names the place."""

from __future__ import annotations

import gzip
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from attnlab.data import Forecasting
from attnlab.errors import UserError
from attnlab.spec import Series


@pytest.mark.parametrize(
    ("line", "spoilt", "message"),
    [
        (9, "2020-02-28 07:00:00,x", "line 9, column row: 'x' is not a number; mend the file"),
        (9, '2020-02-28 07:00:00,"1,234"', "line 9, column row: '1,234' is not a number; mend the file"),
        (9, "2020-02-28 07:00:00,1,234", "line 9 has 3 entries where the header names 2 columns; mend that line"),
        (9, "2020-02-28 07:00:00", "line 9 has 1 entry where the header names 2 columns; mend that line"),
        (40, "2020-02-29 14:00:00,inf", "line 40, column row: 'inf' is not a number; mend the file"),
        (40, "2020-02-29 14:00:00,1e400", "line 40, column row: '1e400' is too large; leave the entry empty"),
        (40, "2020-02-29 14:00:00,1e17", "line 40, column row: 1e+17 is out of all proportion to the training part"),
        (30, "28.02.2020 04:00,28", "line 30, column date: '28.02.2020 04:00' is not a time such as"),
        (30, "2020-02-29T05:00:00,28", "line 30: 2020-02-29T05:00:00 follows 2020-02-29T03:00:00, but rows must"),
        (30, "2020-02-29T03:00:00,28", "line 30: 2020-02-29T03:00:00 follows 2020-02-29T03:00:00, but rows must"),
        (1, "date,date", "names the column 'date' twice in its header; rename one of them"),
        (1, "dates,row", "has no column date, which data.time names; did you mean dates?"),
    ],
)
@pytest.mark.parametrize("blank_lines", [0, 2])
def test_a_spoilt_line_is_named(
    write, hourly, forecasting, line: int, spoilt: str, message: str, blank_lines: int
) -> None:
    lines = hourly("row", [str(row) for row in range(40)]).splitlines()
    lines[line - 1] = spoilt
    path = write("\n" * blank_lines + "\n".join(lines), "table.csv.gz")
    with pytest.raises(UserError) as refusal:
        forecasting(path).source("train")
    message = message.replace(f"line {line}", f"line {line + blank_lines}")
    assert str(refusal.value).startswith((f"{path} {message}", f"{path}, {message}"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("value", ["7", "", "NA"])
def test_a_column_that_teaches_nothing_is_refused_though_it_varies_later(
    write, hourly, forecasting, value: str
) -> None:
    rows = [f"{row},{value if row < 20 else row}" for row in range(40)]
    path = write(hourly("row,flat", rows))
    with pytest.raises(UserError, match=r"column flat: every value of the training part is .* data\.ignore=\[flat\]$"):
        _ = forecasting(path).spec
    assert forecasting(path, ignore=["flat"]).spec.input == Series(1 + 6)


ENTRIES = [
    "",
    "NA",
    "inf",
    "-inf",
    "nan",
    "1e400",
    "1e38",
    "-1e-320",
    "1e15",
    '"1,234"',
    "1 2",
    "x",
    "٣",
    '"',
    '"a',
    ",",
]
ENTRY = st.one_of(st.integers(-9, 9).map(str), st.floats(-1e3, 1e3).map(str), st.sampled_from(ENTRIES))
LINE = st.one_of(st.sampled_from(["", "   ", "date,a", "1,2,3", '"\n"', "\x00", "é"]), st.text('ab,1\n" ', max_size=9))


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Hourly tables of two columns, most of them sound but for an entry, a line or a few bytes."""
    random = np.random.default_rng(draw(st.integers(0, 9)))
    lines = [draw(st.sampled_from(["date,a,b"] * 4 + [" date , a,b", "date,a,a", "date,b", '"date","a","b"', ""]))]
    for hour in range(draw(st.sampled_from([16] * 6 + [0, 1, 5, 11]))):
        lines.append(f"{datetime(2020, 1, 1) + timedelta(hours=hour)},{random.integers(99)},{random.random()}")
    for _ in range(draw(st.integers(0, 3))):
        where = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(["entry", "entry", "entry", "line", "insert", "repeat", "time"]))
        cells = lines[where].split(",")
        if kind == "entry" and where > 0:
            cells[draw(st.integers(1, 2)) % len(cells)] = draw(ENTRY)
            lines[where] = ",".join(cells)
        elif kind == "line":
            lines[where] = draw(LINE)
        elif kind == "insert":
            lines.insert(where, draw(LINE))
        elif kind == "repeat":
            lines.append(lines[where])
        elif kind == "time":
            cells[0] = draw(
                st.sampled_from(["2020-01-01", "", "1", "0001-01-01", "9999-12-31 23:59:59", "99999-01-01"])
            )
            lines[where] = ",".join(cells)
    text = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"])).join(lines)
    raw = draw(st.sampled_from(["", "", "\ufeff"])).encode() + text.encode()
    spoilt = draw(st.integers(0, 19))
    if spoilt == 0:
        where = draw(st.integers(0, len(raw)))
        raw = raw[:where] + draw(st.binary(max_size=4)) + raw[where:]
    return draw(st.binary(max_size=60)) if spoilt == 1 else raw


@settings(
    max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(tables(), st.sampled_from([".csv", ".csv", ".csv.gz"]), st.booleans())
@example(b"date,a\n" + b"".join(b"2020-01-01 %02d:00,%d\n" % (hour, hour % 5) for hour in range(16)), ".csv", False)
def test_any_file_is_either_read_whole_or_refused_in_one_sentence(raw: bytes, suffix: str, named: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"table{suffix}"
        path.write_bytes(gzip.compress(raw) if suffix.endswith(".gz") else raw)
        data = Forecasting(
            path=str(path),
            time="date",
            targets=["a"],
            categorical=["b"] if named else [],
            ignore=[],
            lookback=2,
            horizon=1,
            season=1,
            split=[0.5, 0.25, 0.25],
            batch_size=4,
            seed=0,
        )
        refusal = ""
        try:
            spec = data.spec
            batches = {split: next(iter(data.loader(split))) for split in ("train", "val", "test")}
        except UserError as error:
            refusal = str(error)
        if refusal:
            assert "\n" not in refusal
            assert "table.csv" in refusal
            return
        for batch in batches.values():
            assert batch.inputs.shape[2] == spec.input.channels
            assert batch.inputs.isfinite().all()
            assert batch.targets.isfinite().all()
        for baseline in data.baselines().values():
            assert baseline(batches["test"]).isfinite().all()
