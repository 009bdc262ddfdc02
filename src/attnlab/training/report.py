"""The end of a run: the table beside the baselines, the pictures, and what to type next."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from torch import Tensor

from attnlab.batch import Batch
from attnlab.data.base import DataModule
from attnlab.data.forecasting import Forecasting
from attnlab.runs import record as names
from attnlab.runs.metrics import MORE_IS_BETTER
from attnlab.runs.record import RunRecord
from attnlab.training.progress import clock
from attnlab.training.task import Task

#: Columns of original units that still fit a terminal.
MAX_VARIABLES = 7


def results_table(summary: Mapping[str, Any], data: DataModule, record: RunRecord) -> Table:
    """The model above its baselines, the best of each column in bold."""
    prefixes = {model_name(record): "test/"}
    prefixes |= {data.describe(name): f"baseline/{name}/" for name in baseline_names(summary)}
    columns = _columns(summary, data)
    table = Table(title=f"test part: {len(data.source('test')):,} examples", title_justify="left", title_style="")
    table.add_column("")
    for column in columns:
        table.add_column(_title(column), justify="right")
    scores = {name: [summary.get(prefix + column) for column in columns] for name, prefix in prefixes.items()}
    best = [_best(column, [row[index] for row in scores.values()]) for index, column in enumerate(columns)]
    for name, row in scores.items():
        cells = [_cell(value, column, value == top) for value, column, top in zip(row, columns, best, strict=True)]
        table.add_row(name, *cells)
    if any("raw" in column for column in columns):
        table.caption = "mae, mse: scaled units; the other columns: mean absolute error in each variable's own unit"
        table.caption_justify = "left"
    return table


def closing_lines(summary: Mapping[str, Any], data: DataModule, record: RunRecord) -> str:
    """Costs, where the run is, and the next commands."""
    run = shlex.quote(relative(record.path))
    attnlab = program()
    lines = [
        f"cost     {summary['num_parameters']:,} parameters · {summary['steps']:,} steps in "
        f"{clock(summary['train_seconds'])} · {summary['peak_memory_bytes'] / 2**20:,.0f} MiB at most",
        f"run      {run}",
        f"next     {attnlab} evaluate {run}",
    ]
    if isinstance(data, Forecasting):
        lines.append(f"         {attnlab} predict {run} --input new.csv --output forecast.csv")
    where = (
        "" if record.path.parent == Path("runs").absolute() else f" run_dir={shlex.quote(relative(record.path.parent))}"
    )
    lines.append(f"         {attnlab} runs{where}")
    return "\n".join(lines)


def save_figures(task: Task, data: DataModule, batch: Batch, answers: Tensor, record: RunRecord) -> dict[str, Path]:
    """Pictures of some test examples, and of what the head looked at in the first: plots/*.png."""
    from attnlab.plots import figures  # the drawing library takes a while to import

    charts = figures.charts(task.model, data, batch, answers)
    folder = record.folder(names.PLOTS)
    saved = {}
    for name, chart in charts.items():
        saved[name] = folder / f"{name}.png"
        chart.save(str(saved[name]), scale_factor=1.5)
    return saved


def model_name(record: RunRecord) -> str:
    choices = record.meta["choices"]
    normalizer = choices.get("attention/normalizer")
    attention = choices["attention"] + (f" ({normalizer})" if normalizer not in (None, "softmax") else "")
    return f"{choices['encoder']} + {attention}"


def baseline_names(summary: Mapping[str, Any]) -> list[str]:
    found = [key.split("/")[1] for key in summary if key.startswith("baseline/")]
    return list(dict.fromkeys(found))


def program() -> str:
    """attnlab as this person would type it."""
    if Path(sys.argv[0]).name.startswith("attnlab") and os.sep in sys.argv[0]:
        typed = relative(Path(sys.argv[0]))
        on_path = any(
            Path(folder) / "attnlab" == Path(sys.argv[0]) for folder in os.environ.get("PATH", "").split(os.pathsep)
        )
        return "attnlab" if on_path else shlex.quote(typed)
    return "attnlab"


def relative(path: Path) -> str:
    """As seen from here, where that is shorter."""
    path = Path(os.path.abspath(path))
    seen = os.path.relpath(path)
    return seen if len(seen) < len(str(path)) else str(path)


def _columns(summary: Mapping[str, Any], data: DataModule) -> list[str]:
    tested = [key.removeprefix("test/") for key in summary if key.startswith("test/")]
    overall = [name for name in tested if "/" not in name]
    raw = [name for name in tested if name.startswith("mae_raw/")]
    further = [f"{split}/{data.key_metric}" for split in data.further_tests]
    return overall + further + raw[:MAX_VARIABLES]


def _title(column: str) -> str:
    """length_40/accuracy → accuracy at length 40."""
    test, _, metric = column.rpartition("/")
    if test.startswith("length_"):
        return f"{metric} at {test.replace('_', ' ')}"
    return column.replace("mae_raw/", "mae ")


def _best(column: str, values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if not known or column == "optimal_tour_length":
        return None
    return max(known) if column.rpartition("/")[2] in MORE_IS_BETTER else min(known)


def _cell(value: float | None, column: str, best: bool) -> str:
    if value is None:
        return "–"
    if column.rpartition("/")[2] in (*MORE_IS_BETTER, "gap", "invalid"):
        text = f"{100 * value:.2f} %"
    elif "raw" in column:
        text = f"{value:,.2f}"
    else:
        text = f"{value:.4f}"
    return f"[bold]{text}[/bold]" if best else text
