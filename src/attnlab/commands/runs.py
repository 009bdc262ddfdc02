"""attnlab runs: what there is, and which is best."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

from attnlab.commands.selection import run_folder
from attnlab.config import near_miss
from attnlab.errors import UserError
from attnlab.runs.metrics import MORE_IS_BETTER, key_metric
from attnlab.runs.store import RunStore, RunSummary


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "attnlab runs", description="List the runs, each data set's best first. Also: run_dir=DIR (default runs)."
    )
    parser.add_argument("overrides", nargs="*", metavar="run_dir=DIR")
    parser.add_argument(
        "--sort", metavar="KEY", help="rank by this number of summary.json instead, such as train_seconds"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="show the first N only")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    options = parser.parse_args(arguments)
    if options.limit is not None and options.limit < 1:
        raise UserError(f"--limit {options.limit} would show nothing; give a number of at least 1")
    folder = run_folder("runs", options.overrides)
    runs = _ranked(RunStore(folder).list(), options.sort)[: options.limit]
    if options.json:
        print(json.dumps([run.to_dict() for run in runs], indent=2))
    else:
        _print(runs, folder, options.sort)
    return 0


def _ranked(runs: list[RunSummary], key: str | None) -> list[RunSummary]:
    if key is not None:
        known = sorted({name for run in runs for name, value in run.summary.items() if isinstance(value, (int, float))})
        if runs and key not in known:
            raise UserError(f"--sort {key}: no run has such a number; {near_miss(key, known)}")
        return sorted(runs, key=lambda run: _order(run, key))
    return sorted(runs, key=lambda run: (run.choice("data"), _order(run, _ranking_key(run))))


def _ranking_key(run: RunSummary) -> str:
    return key_metric(run) or ""


def _order(run: RunSummary, key: str) -> float:
    value = run.summary.get(key)
    if not isinstance(value, (int, float)) or math.isnan(value):
        return math.inf  # runs without the number come last
    return -value if key.rpartition("/")[2] in MORE_IS_BETTER else value


def _print(runs: list[RunSummary], folder: Path, key: str | None) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not runs:
        console.print(f"no runs in {folder} yet; attnlab train makes one")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("#", "run", "status", "data", "encoder", "attention"):
        table.add_column(name, overflow="fold" if name == "run" else "ellipsis")
    for name in ("seed", "metric", "value", "parameters", "time"):
        table.add_column(name, justify="right" if name != "metric" else "left")
    for rank, run in enumerate(runs, start=1):
        shown = key or _ranking_key(run)
        value = run.summary.get(shown)
        normalizer = run.choice("attention/normalizer")
        attention = run.choice("attention") + (f"/{normalizer}" if normalizer not in ("?", "softmax") else "")
        seconds, parameters = run.summary.get("train_seconds"), run.meta.get("num_parameters")
        table.add_row(
            str(rank),
            run.run_id,
            run.status,
            run.choice("data"),
            run.choice("encoder"),
            attention,
            str(run.meta.get("seed", "?")),
            shown.removeprefix("test/") or "–",
            f"{value:.4f}" if isinstance(value, float) else str(value if value is not None else "–"),
            f"{parameters:,}" if parameters else "–",
            f"{seconds:,.0f} s" if seconds is not None else "–",
        )
    console.width = max(console.width, 150 if not console.is_terminal else 0)
    console.print(table)
    for run in runs:
        if run.status == "failed":
            console.print(f"{run.run_id} failed: {run.meta.get('error')}", soft_wrap=True)
        elif run.status == "stale":
            console.print(
                f"{run.run_id} is stale: its process is gone without a word (killed, or the machine stopped)",
                soft_wrap=True,
            )
        elif run.status == "broken":
            console.print(f"{run.run_id} is broken: meta.json or summary.json cannot be read", soft_wrap=True)
