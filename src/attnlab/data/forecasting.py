"""A table of measurements in time: from `lookback` rows forecast the next `horizon`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torchmetrics import Metric

from attnlab.batch import Batch
from attnlab.data.base import Baseline, DataModule, Split, check_least
from attnlab.data.csv_file import locate
from attnlab.data.linear import LinearBaseline
from attnlab.data.metrics import ForecastErrors
from attnlab.data.schema import TableSchema
from attnlab.data.table import Table, read_table
from attnlab.errors import UserError
from attnlab.spec import DataSpec, Forecast, Series


class Forecasting(DataModule):
    """Windows over one regular table, split by time, scaled by the training part only.

    The targets of a validation or test window lie wholly in that part; its look-back may reach into the part before,
    as it would in use. Missing targets count neither in the loss nor in any metric.

    Args:
        path: a CSV file, or embedded:NAME.
        time: the column of the time stamps, or the columns year, month, day, hour …
        targets: what is forecast; None for every numeric column.
        categorical: columns of names rather than numbers; inputs only.
        ignore: columns that are left out.
        lookback, horizon: rows.
        season: rows after which the series resembles itself, for the seasonal baseline.
        split: shares of train, validation and test, in this order of time.

    Raises:
        UserError: the file cannot be used as it is; the message names line or column and the remedy.
    """

    key_metric: ClassVar[str] = "mae"
    key_mode: ClassVar[Literal["min", "max"]] = "min"
    example_spec: ClassVar[DataSpec] = DataSpec(Series(5), Forecast(3, (0, 1)), max_length=7)

    def __init__(
        self,
        *,
        path: str,
        time: str | Sequence[str],
        targets: Sequence[str] | None,
        categorical: Sequence[str],
        ignore: Sequence[str],
        lookback: int,
        horizon: int,
        season: int,
        split: Sequence[float],
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__(batch_size=batch_size, seed=seed)
        if not (len(split) == 3 and min(split) > 0 and abs(sum(split) - 1) <= 1e-6):
            raise UserError(
                f"data.split={list(split)} must be three positive shares that sum to 1, such as [0.7,0.1,0.2]"
            )
        check_least(1, lookback=lookback, horizon=horizon, season=season)
        if season > lookback:
            raise UserError(
                f"data.season={season} reaches back beyond data.lookback={lookback}; "
                "use a season of at most the look-back"
            )
        self.path = path
        self.lookback, self.horizon, self.season = lookback, horizon, season
        self.split = list(split)
        self.columns = {
            "time": [time] if isinstance(time, str) else list(time),
            "targets": None if targets is None else list(targets),
            "categorical": list(categorical),
            "ignore": list(ignore),
        }

    @cached_property
    def table(self) -> Table:
        table = read_table(self.path)
        for split, (first, end) in self._parts(table.num_rows).items():
            before = 0 if split != "train" else self.lookback
            if end - first < self.horizon + before:
                raise UserError(
                    f"{self.path} has {table.num_rows} rows, which leaves {end - first} for {split}; data.lookback="
                    f"{self.lookback} and data.horizon={self.horizon} need {self.horizon + before} there; "
                    "give more rows, shorten them, or change data.split"
                )
        return table

    @cached_property
    def schema(self) -> TableSchema:
        num_train = self._parts(self.table.num_rows)["train"][1]
        return TableSchema.fit(self.table, num_train=num_train, **self.columns)  # type: ignore[arg-type]

    @cached_property
    def _applied(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.schema.apply(self.table)

    @cached_property
    def _arrays(self) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, targets, _ = self._applied
        for split, (first, end) in self._parts(len(targets)).items():
            if np.isnan(targets[first if split != "train" else self.lookback : end]).all():
                raise UserError(
                    f"{self.path}, columns {', '.join(self.schema.targets)}: every value is missing from line "
                    f"{self.table.line(first)} to line {self.table.line(end - 1)}, which is the {split} part; "
                    "change data.split, or cut the file"
                )
        return torch.from_numpy(inputs), torch.from_numpy(targets)

    def _parts(self, num_rows: int) -> dict[Split, tuple[int, int]]:
        """First and end row of each part."""
        # 0.7 + 0.1 is a little less than 0.8: of 110 rows, one would change sides
        train_end = int(num_rows * self.split[0] + 1e-6)
        val_end = int(num_rows * (self.split[0] + self.split[1]) + 1e-6)
        return {"train": (0, train_end), "val": (train_end, val_end), "test": (val_end, num_rows)}

    @property
    def spec(self) -> DataSpec:
        return forecast_spec(self.schema, self.lookback, self.horizon)

    def source(self, split: Split) -> Windows:
        inputs, targets = self._arrays
        first, end = self._parts(self.table.num_rows)[split]
        return Windows(inputs, targets, max(first, self.lookback), end, self.lookback, self.horizon)

    def input_labels(self, split: Split, index: int) -> list[str]:
        """The times of the look-back's rows."""
        return self._times(split, index, range(-self.lookback, 0))

    def variable_labels(self) -> list[str]:
        """The columns, and what else was made of the table."""
        return self.schema.channels

    def answer_labels(self, split: Split, index: int, answer: torch.Tensor) -> list[str]:
        """The times that are forecast."""
        return self._times(split, index, range(self.horizon))

    def _times(self, split: Split, index: int, steps: range) -> list[str]:
        times = self._applied[2]
        rows = self.source(split).first + index + np.array(steps)
        return [str(time).replace("T", " ")[:16] for time in times[rows].astype("datetime64[s]")]

    def metric(self) -> Metric:
        scales = self.schema.scale[: self.schema.num_targets]
        return ForecastErrors(self.schema.targets, scales)

    def baselines(self) -> Mapping[str, Baseline]:
        return {
            "last_value": self._last_value,
            "seasonal_naive": self._same_time_last_season,
            "linear": LinearBaseline.fit(
                self.source("train"), self.source("val"), max_lags=self.lookback, num_targets=self.schema.num_targets
            ),
        }

    def describe(self, baseline: str) -> str:
        if baseline == "seasonal_naive" and self.season * self.schema.step_seconds == 86_400:
            return "same hour yesterday" if self.schema.step_seconds == 3600 else "same time yesterday"
        return super().describe(baseline)

    def fingerprint(self) -> str:
        with open(locate(self.path), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold to forecast for another file."""
        return {"schema": self.schema.to_dict()}

    def _last_value(self, batch: Batch) -> torch.Tensor:
        last = batch.inputs[:, -1:, : self.schema.num_targets]
        return last.expand(-1, self.horizon, -1)

    def _same_time_last_season(self, batch: Batch) -> torch.Tensor:
        steps = torch.arange(self.horizon, device=batch.inputs.device) % self.season
        return batch.inputs[:, steps - self.season, : self.schema.num_targets]


def forecast_spec(schema: TableSchema, lookback: int, horizon: int) -> DataSpec:
    """What a model must know of a table: its targets are the first of its channels."""
    forecast = Forecast(horizon, tuple(range(schema.num_targets)))
    return DataSpec(Series(schema.num_channels), forecast, max_length=lookback)


class Windows:
    """Every window whose targets lie in rows first … end, gathered from the table when asked for."""

    def __init__(
        self, inputs: torch.Tensor, targets: torch.Tensor, first: int, end: int, lookback: int, horizon: int
    ) -> None:
        self.inputs, self.targets = inputs, targets
        self.first, self.end = first, end
        self.past = torch.arange(-lookback, 0)
        self.future = torch.arange(horizon)

    def __len__(self) -> int:
        return self.end - self.first - len(self.future) + 1

    def __getitem__(self, indices: np.ndarray) -> Batch:
        origin = torch.from_numpy(np.asarray(indices))[:, None] + self.first  # row of the first target
        inputs = self.inputs[origin + self.past]
        targets = self.targets[origin + self.future]
        real = ~targets.isnan()
        return Batch(inputs, torch.ones(inputs.shape[:2], dtype=torch.bool), targets.nan_to_num(0.0), real)
