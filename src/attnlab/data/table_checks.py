"""What a table must be like to be forecast: otherwise one sentence says where it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from attnlab.data.table import Table
from attnlab.errors import UserError

#: A value farther from the training mean is a fault of the file, and would overflow a regression in float32.
MOST_DEVIATIONS = 1e12


def check_names(table: Table, options: Mapping[str, Sequence[str]]) -> None:
    """Each column that an option names must be there, and have one role only."""
    roles: dict[str, str] = {}
    for option, names in options.items():
        for name in names:
            table.column(name, option)
            if roles.get(name) == option:
                raise UserError(f"{option} names the column {name} twice; name it once")
            if name in roles:
                raise UserError(f"{option} names the column {name}, which {roles[name]} names too; choose one")
            roles[name] = option


def check_variation(table: Table, names: Sequence[str], values: np.ndarray) -> None:
    for name, column in zip(names, values.T, strict=True):
        observed = column[~np.isnan(column)]
        if len(observed) == 0:
            raise UserError(
                f"{table.path}, column {name}: every value of the training part is missing; "
                f"leave it out with data.ignore=[{name}]"
            )
        if observed.min() == observed.max() or observed.std() == 0:  # squares below 1e-308 vanish
            raise UserError(
                f"{table.path}, column {name}: every value of the training part is {observed[0]:g}, so it can neither "
                f"be scaled nor teach anything; leave it out with data.ignore=[{name}]"
            )


def check_range(table: Table, names: Sequence[str], values: np.ndarray, scaled: np.ndarray) -> None:
    rows, columns = np.nonzero(np.abs(scaled) > MOST_DEVIATIONS)
    if len(rows):
        row, column = int(rows[0]), int(columns[0])
        raise UserError(
            f"{table.path} line {table.line(row)}, column {names[column]}: {values[row, column]:g} is out of all "
            f"proportion to the training part ({np.abs(scaled[row, column]):.0e} of its standard deviations from the "
            "mean); leave the entry empty where nothing was measured"
        )


def regular_step(table: Table, times: np.ndarray) -> int:
    """Seconds between rows; 0 where there is one row only."""
    steps = np.diff(times).astype(int)
    if len(steps) == 0:
        return 0
    usual = int(np.median(steps))
    bad = np.flatnonzero(steps != usual if usual > 0 else steps <= 0)
    if len(bad):
        row = int(bad[0]) + 1
        apart = f"{usual} s" if usual > 0 else "equally far"
        raise UserError(
            f"{table.path} line {table.line(row)}: {times[row]} follows {times[row - 1]}, but rows must be in order "
            f"and {apart} apart throughout; sort the file, take out rows that come twice, fill in the missing ones "
            "with empty values, or cut the file there"
        )
    return usual
