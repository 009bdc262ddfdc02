#!/usr/bin/env python3
"""A W&B workspace as code: the runs on a kind of data, grouped by encoder and attention.

Results against costs, curves, pictures of answers and of what was looked at, and the tables behind them.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from attnlab.cli import report
from attnlab.config import choices, near_miss
from attnlab.errors import UserError

if TYPE_CHECKING:
    from attnlab.data import DataModule


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("entity", help="account or team")
    parser.add_argument("project", nargs="?", default="attnlab")
    parser.add_argument("--data", default="beijing", metavar="CHOICE", help="what the runs were trained on (beijing)")
    parser.add_argument("--print", action="store_true", dest="shown", help="show the workspace instead of saving it")
    options = parser.parse_args(arguments)
    try:
        workspace = build(options.entity, options.project, options.data)
        if options.shown:
            print(workspace)
        else:
            print(workspace.save().url)
    except Exception as error:
        return report(error)
    return 0


def build(entity: str, project: str, data: str) -> Any:
    """The workspace for the runs on a choice of data, by its own metric.

    Raises:
        UserError: no such data, or the library is missing.
    """
    if data not in choices("data"):
        raise UserError(f"--data {data} is not an option; {near_miss(data, choices('data'))}")
    try:
        import wandb_workspaces.reports.v2 as reports
        import wandb_workspaces.workspaces as ws
    except ImportError as error:
        raise UserError("wandb_workspaces is needed and not installed; pip install 'attnlab[wandb-report]'") from error

    from attnlab.data import Forecasting

    panels: Any = reports  # the library's types do not name what it exports
    kind, target = data_class(data)
    metric = kind.key_metric
    drawn = "forecast" if issubclass(kind, Forecasting) else f"{kind.draws}s" if kind.draws else None
    curves = [panels.LinePlot(title=key, x="trainer/global_step", y=[key]) for key in ("train/loss", f"val/{metric}")]
    results = [
        panels.BarPlot(title=f"test/{metric}", metrics=[f"test/{metric}"]),
        panels.ScatterPlot(title="quality against parameters", x="num_parameters", y=f"test/{metric}"),
        panels.ScatterPlot(title="quality against time", x="train_seconds", y=f"test/{metric}"),
    ]
    pictures = [panels.MediaBrowser(title="attention", media_keys=["attention/head.attention", "plots/attention"])]
    if drawn:
        pictures.insert(0, panels.MediaBrowser(title=drawn, media_keys=[f"plots/{drawn}"]))
    answers = {"forecast": ["predictions", "forecasts"], None: ["predictions"]}.get(drawn, [drawn])
    tables = [panels.WeavePanelSummaryTable(table_name=f"tables/{name}") for name in (*answers, "attention")]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"attnlab: {data}",
        sections=[
            ws.Section(name="Results", panels=results, is_open=True),
            ws.Section(name="Curves", panels=curves, is_open=True),
            ws.Section(name="Pictures", panels=pictures),
            ws.Section(name="Tables", panels=tables),
        ],
        settings=ws.WorkspaceSettings(x_axis="trainer/global_step"),
        runset_settings=ws.RunsetSettings(
            filters=ws.And(ws.Config("data._target_") == target),
            groupby=[ws.Config("encoder._target_"), ws.Config("attention.scorer._target_")],
            order=[ws.Ordering(ws.Summary(f"test/{metric}"), ascending=kind.key_mode == "min")],
        ),
    )


def data_class(data: str) -> tuple[type[DataModule], str]:
    """The class of a choice of data, and its name in the configuration, which choices of one kind share."""
    from hydra import compose, initialize_config_dir
    from hydra.utils import get_class

    from attnlab.config import conf_dir, register_resolvers

    register_resolvers()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        target: str = compose("train", [f"data={data}"]).data._target_
    return get_class(target), target


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
