"""How a table becomes channels: fitted on the training part once, then applied to any table of the same kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from attnlab.data.table import Table
from attnlab.data.table_checks import check_names, check_range, check_variation, regular_step
from attnlab.errors import UserError

#: Cycles that a time stamp is placed in, in seconds; those not longer than the step between rows say nothing.
CYCLES = {"day": 86_400.0, "week": 7 * 86_400.0, "year": 365.2425 * 86_400.0}


@dataclass(frozen=True)
class TableSchema:
    """Columns, scales and categories: all that forecasting a new file of the same kind needs.

    Channels come in this order: the numeric columns, scaled to mean 0 and deviation 1 over the observed training
    values, targets first; a 0/1 channel for each category seen in training (an unseen one is all zeros); a channel
    that is 1 where a value was missing, for each numeric column that has missing values in training; sine and cosine
    of the time of day, week and year. A missing input keeps the last value observed before it (0, the training mean,
    where there is none): never a later one.

    Args:
        time: the columns that make the time stamp.
        step_seconds: between rows.
        numeric: numeric columns, the targets first.
        num_targets: how many of them are predicted.
        mean, scale: per numeric column.
        categories: per categorical column.
        flagged: numeric columns with missing values in training.
    """

    time: list[str]
    step_seconds: int
    numeric: list[str]
    num_targets: int
    mean: list[float]
    scale: list[float]
    categories: dict[str, list[str]]
    flagged: list[str]

    @property
    def targets(self) -> list[str]:
        return self.numeric[: self.num_targets]

    @property
    def cycles(self) -> list[str]:
        return [name for name, seconds in CYCLES.items() if seconds > self.step_seconds]

    @property
    def channels(self) -> list[str]:
        """What each input channel is, for people."""
        return [
            *self.numeric,
            *(f"{name}={category}" for name, categories in self.categories.items() for category in categories),
            *(f"{name} missing" for name in self.flagged),
            *(f"{function} of {cycle}" for cycle in self.cycles for function in ("sine", "cosine")),
        ]

    @property
    def num_channels(self) -> int:
        return len(self.channels)

    @classmethod
    def fit(
        cls,
        table: Table,
        *,
        num_train: int,
        time: Sequence[str],
        targets: Sequence[str] | None,
        categorical: Sequence[str],
        ignore: Sequence[str],
    ) -> TableSchema:
        """Reads scales and categories off the first num_train rows, and nothing off the others but their times.

        Raises:
            UserError: a column that is missing, named twice, not numeric, or the same in every training row.
        """
        check_names(
            table,
            {"data.time": time, "data.categorical": categorical, "data.ignore": ignore, "data.targets": targets or []},
        )
        others = [name for name in table.columns if name not in {*time, *categorical, *ignore}]
        chosen = list(others if targets is None else targets)
        if not chosen:
            raise UserError(f"{table.path} has no numeric column left to forecast; name some in data.targets")
        numeric = chosen + [name for name in others if name not in chosen]
        values = np.stack([table.numbers(name, "data.targets") for name in numeric], axis=1)[:num_train]
        check_variation(table, numeric, values)
        times = table.times(time)
        return cls(
            time=list(time),
            step_seconds=regular_step(table, times),
            numeric=numeric,
            num_targets=len(chosen),
            mean=np.nanmean(values, axis=0).tolist(),
            scale=np.nanstd(values, axis=0).tolist(),
            categories={name: _categories(table, name, num_train) for name in categorical},
            flagged=[name for name, gaps in zip(numeric, np.isnan(values).any(0), strict=True) if gaps],
        )

    def apply(self, table: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Inputs [rows, channels], scaled targets [rows, targets] with NaN where missing, times [rows].

        Raises:
            UserError: a column is missing or not numeric, a value is out of all proportion to the training part, or the
                times are not one step apart.
        """
        times = table.times(self.time)
        step = regular_step(table, times)
        if len(times) > 1 and step != self.step_seconds:
            raise UserError(
                f"{table.path} has a row every {step} s, but the model was trained on one every {self.step_seconds} s"
            )
        values = np.stack([table.numbers(name, "the trained model") for name in self.numeric], axis=1)
        scaled = (values - np.array(self.mean)) / np.array(self.scale)
        check_range(table, self.numeric, values, scaled)
        channels = [carry_forward(scaled)]
        for name, categories in self.categories.items():
            entries = table.texts(name, "the trained model")
            channels.append((entries[:, None] == np.array(categories, dtype=object)).astype(float))
        flagged = [self.numeric.index(name) for name in self.flagged]
        channels.append(np.isnan(values[:, flagged]).astype(float))
        channels += [cycle_phase(times, CYCLES[name]) for name in self.cycles]
        inputs = np.concatenate(channels, axis=1).astype(np.float32)
        return inputs, scaled[:, : self.num_targets].astype(np.float32), times

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return asdict(self)


def carry_forward(values: np.ndarray) -> np.ndarray:
    """Each missing value [rows, columns] replaced by the last observed one above it, or 0."""
    rows = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, rows), axis=0)
    return np.where(last >= 0, np.take_along_axis(values, last.clip(0), axis=0), 0.0)


def cycle_phase(times: np.ndarray, seconds: float) -> np.ndarray:
    """Sine and cosine [rows, 2] of where in a cycle each time lies. Weeks begin on Monday, years on 1 January."""
    # 1970 began on a Thursday, three days after a Monday.
    since_1970 = times.astype("datetime64[s]").astype(np.int64) + 3 * 86_400 * (seconds == CYCLES["week"])
    angle = 2 * np.pi * ((since_1970 / seconds) % 1.0)
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def _categories(table: Table, name: str, num_train: int) -> list[str]:
    found = set(table.texts(name, "data.categorical")[:num_train]) - {""}
    if not found:
        raise UserError(
            f"{table.path}, column {name}: every entry of the training part is missing; take it out of "
            "data.categorical and leave it out with data.ignore"
        )
    return sorted(found)
