"""The loggers of Lightning, told where a run record lies and how a resumed one goes on. Imports of theirs are lazy."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger

from attnlab.errors import UserError
from attnlab.runs.record import RunRecord


def csv(record: RunRecord) -> Logger:
    """csv/metrics.csv and csv/hparams.yaml in the record; csv_2 of a resumed run, since Lightning clears a folder."""
    legs = len(record.meta.get("resumed", []))
    return CSVLogger(record.path, name="", version=f"csv_{legs + 1}" if legs else "csv")


def tensorboard(record: RunRecord) -> Logger:
    """tensorboard/ in the record, so that `tensorboard --logdir runs` shows each run under its own name."""
    require("tensorboard", "tensorboard")
    resumed = record.meta.get("resumed", [])
    return TensorBoardLogger(
        record.path,
        name="",
        version="tensorboard",
        default_hp_metric=False,
        purge_step=resumed[-1]["steps"] if resumed else None,  # what was shown of later steps is made again
    )


def mlflow(record: RunRecord, *, experiment: str, tracking_uri: str | None, save_dir: str) -> Logger:
    """An MLflow run under the record's name; a resumed record continues it.

    Args:
        tracking_uri: of a server or a database; null: MLFLOW_TRACKING_URI, else save_dir/mlflow.db.
    """
    require("mlflow", "mlflow")
    folder = Path(save_dir).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    logger = MLFlowLogger(
        experiment_name=experiment,
        run_name=record.run_id,
        tracking_uri=tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder}/mlflow.db",
        artifact_location=None if tracking_uri else (folder / "mlartifacts").as_uri(),
        run_id=record.meta.get("mlflow_run_id"),
        tags={group: choice for group, choice in record.meta["choices"].items()},
    )
    record.update(mlflow_run_id=logger.run_id)
    return logger


def require(package: str, extra: str) -> None:
    """Raises a UserError where an optional package is missing."""
    if find_spec(package) is None:
        raise UserError(f"logger={extra} needs {package}, which is not installed; pip install 'attnlab[{extra}]'")
