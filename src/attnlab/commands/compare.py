"""attnlab compare: which group of runs is best, by how much, and is it more than luck?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from attnlab.commands.selection import add_options, arrangement
from attnlab.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from attnlab.comparison import Arrangement, Comparison, Estimate, Overall, Pair, Ranking


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "attnlab compare",
        description="Compare groups of finished runs over their seeds: intervals, tests with Holm's correction, effect "
        "sizes, and how many more seeds it would take.",
    )
    add_options(parser)
    parser.add_argument(
        "--by",
        default="encoder",
        metavar="KEYS",
        help="what makes a group: encoder,attention or any config key (encoder)",
    )
    parser.add_argument("--over", default="data", metavar="KEYS", help="what makes a problem of its own (data)")
    parser.add_argument("--reference", metavar="GROUP", help="test the others against this group only (all pairs)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the critical-difference diagram: .svg or .png")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.add_argument(
        "--simulate",
        type=int,
        nargs="?",
        const=1000,
        metavar="N",
        help="compare no runs: show how often the verdicts are right, on N made-up studies (1000)",
    )
    options = parser.parse_intermixed_args(arguments)
    if options.simulate is not None:
        _simulate(options.simulate, as_json=options.json)
    else:
        _compare(options)
    return 0


def _compare(options: argparse.Namespace) -> None:
    from attnlab.comparison import compare, overall

    arranged = arrangement("compare", options, by=options.by, over=options.over)
    compared = [compare(problem, options.reference) for problem in arranged.problems]
    together = overall(arranged, options.reference)
    if options.plot:
        _draw(options.plot, together)
    if options.json:
        document = {
            "by": options.by.split(","),
            "over": options.over.split(","),
            "problems": [comparison.to_dict() for comparison in compared],
            "overall": together and together.to_dict(),
            "remarks": arranged.remarks,
        }
        print(json.dumps(document, indent=2))
    else:
        _print(arranged, compared, together)


def _draw(file: Path, together: Overall | None) -> None:
    from attnlab.comparison import LEAST_PROBLEMS

    if file.suffix not in (".svg", ".png"):
        raise UserError(
            f"--plot {file} would be drawn as {file.suffix or 'nothing'}; name a file that ends in .svg or .png"
        )
    if together is None or together.ranking is None:
        raise UserError(
            f"--plot needs groups that have all met the same {LEAST_PROBLEMS} data sets or more; train those that are "
            "missing, or see what --over counts as a data set"
        )
    from attnlab.plots.ranks import plot_critical_difference

    file.parent.mkdir(parents=True, exist_ok=True)
    plot_critical_difference(together.ranking).save(str(file), scale_factor=1.5)


def _print(arranged: Arrangement, compared: list[Comparison], together: Overall | None) -> None:
    from rich.console import Console

    from attnlab.comparison import conclusion

    console = Console(highlight=False)
    console.width = max(console.width, 140 if not console.is_terminal else 0)
    for comparison in compared:
        problem = comparison.problem
        console.print(
            f"[bold]{problem.name}[/]: {problem.metric}, {'more' if problem.mode == 'max' else 'less'} is better"
        )
        _print_groups(console, comparison)
        if comparison.pairs:
            _print_pairs(console, comparison)
        console.print(f"verdict  {conclusion(comparison)}\n", soft_wrap=True)
    if together is not None:
        _print_overall(console, together)
    for remark in arranged.remarks:
        console.print(f"note     {remark}", soft_wrap=True)
    console.print(
        "intervals: 95 %, percentile bootstrap over seeds, within each data set; IQM: mean of the middle half; p: "
        "two-sided, Holm: corrected over all tests of a data set;\nmore seeds: for each group, to show the effect "
        "as it was observed with a chance of 80 % at α = 0.05, without correction",
        soft_wrap=True,
        style="dim",
    )


def _print_groups(console: Console, comparison: Comparison) -> None:
    from rich.table import Table

    from attnlab.comparison.tables import digits

    table = Table(box=None, pad_edge=False)
    for name in ("group", "n", "mean", "median", "IQM"):
        table.add_column(name, justify="left" if name == "group" else "right")
    form = f"{{:,.{digits(group.spread.half_width for group in comparison.groups)}f}}"
    for group in comparison.groups:
        cells = [_interval(found, form) for found in (group.mean, group.median, group.iqm)]
        table.add_row(group.name, str(len(group.seeds)), *cells)
    console.print(table)


def _print_pairs(console: Console, comparison: Comparison) -> None:
    """Those with the best group or the reference; the rest of the family counts in the correction all the same."""
    from rich.table import Table

    from attnlab.comparison.report import need, p_text

    pivot = comparison.reference or comparison.best
    seen = comparison.against(pivot)
    rest = len(comparison.pairs) - len(seen)
    table = Table(box=None, pad_edge=False)
    for name in (f"against {pivot}", "improvement", "effect", "test", "p", "Holm", "P(better)", "", "more seeds"):
        table.add_column(name, justify="right" if name not in (f"against {pivot}", "test", "") else "left")
    for pair in seen:
        table.add_row(
            pair.first,
            f"{pair.improvement:+.4g}",
            _effect(pair),
            pair.test,
            p_text(pair.p),
            p_text(pair.corrected),
            _interval(pair.wins, "{:.2f}"),
            pair.verdict,
            need(pair),
        )
    console.print(table)
    if rest:
        console.print(
            f"Holm's correction is over all {len(comparison.pairs)} pairs; --json has the other {rest}", style="dim"
        )


def _print_overall(console: Console, together: Overall) -> None:
    from rich.table import Table

    console.print(f"[bold]over {len(together.problems)} data sets[/]: {', '.join(together.problems)}", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    columns = ["group", *(["IQM"] if together.iqm else []), f"P(better than {together.against})"]
    for name in columns:
        table.add_column(name, justify="left" if name == "group" else "right")
    for name in [together.against, *together.wins]:
        cells = [_interval(together.iqm[name])] if together.iqm else []
        table.add_row(name, *cells, _interval(together.wins[name], "{:.2f}") if name in together.wins else "–")
    console.print(table)
    if together.ranking is not None:
        _print_ranking(console, together.ranking)
    console.print()


def _print_ranking(console: Console, ranking: Ranking) -> None:
    """The critical-difference diagram as text: groups that share a bar are not shown to differ."""
    from attnlab.comparison.report import ranking_verdict

    width = max(map(len, ranking.names))
    console.print(f"{'mean rank':>9}   (groups that share a bar are not shown to differ)")
    for index, (name, rank) in enumerate(zip(ranking.names, ranking.ranks, strict=True)):
        bars = " ".join("┃" if first <= index <= last else " " for first, last in ranking.cliques)
        console.print(f"{rank:9.2f}   {name:<{width}}   {bars}".rstrip(), soft_wrap=True, markup=False)
    console.print(f"verdict  {ranking_verdict(ranking)}", soft_wrap=True)


def _interval(found: Estimate, form: str = "{:.4g}") -> str:
    value = form.format(found.value)
    if found.low is None:
        return value
    return f"{value} \\[{form.format(found.low)}, {form.format(found.high)}]"


def _effect(pair: Pair) -> str:
    return "–" if pair.effect is None else f"{pair.effect_name} {pair.effect:+.2f}"


def _simulate(repetitions: int, *, as_json: bool) -> None:
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    from attnlab.comparison.simulation import NUM_SEEDS, simulate

    if repetitions < 1:
        raise UserError(f"--simulate {repetitions} would show nothing; give a number of at least 1")
    outcomes = simulate(repetitions)
    if as_json:
        print(json.dumps([asdict(outcome) for outcome in outcomes], indent=2))
        return
    table = Table(box=None, pad_edge=False, title_justify="left", title_style="")
    table.title = (
        f"{repetitions:,} made-up studies of each kind, {NUM_SEEDS} seeds a group; effects in standard deviations"
    )
    for name in ("test", "study", "comparisons", "effect", "right verdicts", "in theory", "false alarms"):
        table.add_column(name, justify="left" if name in ("test", "study") else "right")
    for outcome in outcomes:
        known = outcome.effect != 0
        table.add_row(
            outcome.test,
            outcome.design,
            str(outcome.comparisons),
            f"{outcome.effect:g}",
            f"{outcome.right:.1%}",
            f"{outcome.theory:.1%}" if known else f"≥ {outcome.theory:.1%}",
            "" if known else f"{outcome.false_alarms:.1%}",
        )
    Console(highlight=False, width=max(Console().width, 110)).print(table)
