"""A trained model as a user holds it: `attnlab.load(run).predict("new.csv")`."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from omegaconf import DictConfig, OmegaConf

from attnlab.batch import Batch
from attnlab.data.forecasting import forecast_spec
from attnlab.data.schema import TableSchema
from attnlab.data.table import Table, read_table
from attnlab.errors import UserError
from attnlab.model import Model
from attnlab.runs import record as names
from attnlab.runs.record import RunRecord
from attnlab.runs.store import find_run


class Predictor:
    """Forecasts for tables that the model never saw, with the scales and categories of its training part.

    Args:
        lookback, horizon: rows that it needs and rows that it forecasts.
    """

    def __init__(self, model: Model, schema: TableSchema, *, lookback: int, horizon: int) -> None:
        self.model = model.eval()
        self.schema = schema
        self.lookback, self.horizon = lookback, horizon

    @torch.no_grad()
    def predict(self, path: str | Path) -> pa.Table:
        """The rows that follow the end of a CSV file: a column `time`, and each target in its own unit.

        Raises:
            UserError: the file is not of the kind that the model was trained on, or shorter than its look-back.
        """
        table = read_table(str(path))
        inputs, _, times = self.schema.apply(table)
        if len(inputs) < self.lookback:
            raise UserError(
                f"{path} has {len(inputs)} rows, but the model looks back on {self.lookback}; give more rows"
            )
        self._warn_of_unknown(table)
        window = torch.from_numpy(inputs[-self.lookback :])[None]
        count = self.schema.num_targets
        batch = Batch(
            window,
            torch.ones(window.shape[:2], dtype=torch.bool),
            torch.zeros(1, self.horizon, count),
            torch.zeros(1, self.horizon, count, dtype=torch.bool),
        )
        scaled = self.model.answer(batch)[0].numpy()
        values = scaled * np.array(self.schema.scale[:count]) + np.array(self.schema.mean[:count])
        step = np.timedelta64(self.schema.step_seconds, "s")
        future = times[-1] + step * np.arange(1, self.horizon + 1)
        columns = {name: values[:, index] for index, name in enumerate(self.schema.targets)}
        return pa.table({"time": future.astype("datetime64[s]"), **columns})

    def _warn_of_unknown(self, table: Table) -> None:
        for name, categories in self.schema.categories.items():
            unknown = set(table.texts(name, "the trained model")[-self.lookback :]) - {*categories, ""}
            if unknown:
                warnings.warn(
                    f"column {name} holds {', '.join(sorted(unknown))}, which the training part never did: "
                    "treated as none of the known categories",
                    stacklevel=3,
                )


def load(run: str | Path) -> Predictor:
    """The best model of a finished forecasting run.

    Raises:
        UserError: not a run record, not a forecast, or no usable checkpoint.
    """
    from attnlab.training.run import model_for
    from attnlab.training.task import load_weights, read_checkpoint

    path = find_run(str(run))
    record = RunRecord(path)
    cfg = OmegaConf.load(path / names.CONFIG)
    assert isinstance(cfg, DictConfig)
    checkpoint = str(path / names.CHECKPOINTS / "best.ckpt")
    schema = read_checkpoint(checkpoint, record.run_id)["attnlab"]["data"].get("schema")
    if schema is None:
        answered = record.meta["choices"]["data"]
        raise UserError(f"{path.name} was trained on data={answered}; predict forecasts tables, which it cannot")
    schema = TableSchema(**schema)
    lookback, horizon = cfg.data.lookback, cfg.data.horizon
    model = model_for(forecast_spec(schema, lookback, horizon), cfg, record.meta["choices"])
    load_weights(model, checkpoint, record.run_id)
    return Predictor(model, schema, lookback=lookback, horizon=horizon)
