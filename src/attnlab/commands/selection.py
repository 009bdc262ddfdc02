"""How commands are told which runs: run_dir=DIR, and the options by which `compare` and `table` arrange them."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attnlab.errors import UserError


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="*", metavar="run_dir=DIR", help="where the runs are (runs)")
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only runs with that choice or config value (several: KEY=A,B); may be repeated",
    )
    parser.add_argument(
        "--metric", metavar="NAME", help="of summary.json, such as test/mae (what the data are judged by)"
    )
    parser.add_argument("--best", choices=("min", "max"), help="which end of the metric is best (as the records say)")


def run_folder(command: str, overrides: Sequence[str], *, or_else: str = "") -> Path:
    """The DIR of run_dir=DIR; runs where nothing was said.

    Args:
        or_else: what else a word that is not known may have been meant as; {} stands for the word.

    Raises:
        UserError: something else was said.
    """
    folder = "runs"
    for override in overrides:
        key, _, value = override.partition("=")
        if key != "run_dir" or not value:
            advice = f"say run_dir=DIR{or_else.format(override)}"
            raise UserError(f"attnlab {command} does not know {override}; {advice}")
        folder = value
    return Path(folder)


def arrangement(command: str, options: argparse.Namespace, *, by: str, over: str) -> Any:
    """The runs that were asked for, arranged; by and over are keys, separated by commas.

    Raises:
        UserError: there is nothing to compare, or something would be mixed.
    """
    from attnlab.comparison import arrange, candidates, choose
    from attnlab.runs.store import RunStore

    folder = run_folder(command, options.overrides, or_else=", or --where {}")
    runs = RunStore(folder).list()
    chosen = choose(candidates(run for run in runs if run.status != "broken"), _where(options.where))
    if not any(item.run.status == "finished" for item in chosen):
        raise UserError(f"no finished run to compare in {folder}; attnlab train makes one")
    metric = options.metric
    if metric is not None and not any(metric in item.run.summary for item in chosen):
        metric = f"test/{metric}" if any(f"test/{metric}" in item.run.summary for item in chosen) else metric
    return arrange(chosen, by=_keys(by), over=_keys(over), metric=metric, best=options.best)


def _where(words: Sequence[str]) -> dict[str, list[str]]:
    asked: dict[str, list[str]] = defaultdict(list)
    for word in words:
        key, _, values = word.partition("=")
        if not values:
            raise UserError(f"--where {word} names no value; say --where KEY=VALUE, such as --where data=reverse")
        asked[key] += values.split(",")
    return asked


def _keys(words: str) -> list[str]:
    return [key.strip() for key in words.split(",") if key.strip()]
