"""A comparison as a document: a table, figures, what differs, and how to repeat it."""

from __future__ import annotations

import base64
import csv
import io
import shlex
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab import __version__
from attnlab.dashboard.compare_api import compared, curves_of, differences, drawn_runs, readable_metrics
from attnlab.dashboard.runs_api import COSTS, group_rows, text, value_of
from attnlab.errors import UserError
from attnlab.runs import record
from attnlab.runs.maps import AttentionRecord
from attnlab.runs.store import read_run

if TYPE_CHECKING:
    import altair as alt

    from attnlab.comparison import Pair

#: Groups whose best run's attention is drawn.
MAX_MAPS = 4
#: Keys of the config that differ and are listed.
MAX_DIFFERENCES = 24

Row = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A chart with a file name and a caption, rendered once in each format."""

    name: str
    title: str
    caption: str
    chart: alt.TopLevelMixin

    @cached_property
    def svg(self) -> bytes:
        drawn = io.StringIO()
        self.chart.save(drawn, format="svg")
        return drawn.getvalue().encode()

    @cached_property
    def png(self) -> bytes:
        drawn = io.BytesIO()
        self.chart.save(drawn, format="png", scale_factor=2)
        return drawn.getvalue()

    @property
    def source(self) -> str:
        """The figure inside a page. An image of its own: the clip paths of two SVGs in one page would be mixed up."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode()


@dataclass(frozen=True)
class Line:
    """A row of the results: a group of runs, or a baseline, which costs nothing.

    Args:
        score: the metric over the runs, as `group_rows` gives it: mean and half_width; None where no run has it.
        costs: the same for parameters, seconds and memory (bytes).
    """

    name: str
    score: Row | None
    runs: int
    costs: dict[str, Row | None] = field(default_factory=dict)
    best: bool = False
    baseline: bool = False

    @property
    def value(self) -> str:
        return _with_interval(self.score)

    @property
    def parameters(self) -> str:
        return self._cost("parameters", "{:,.0f}")

    @property
    def seconds(self) -> str:
        return self._cost("seconds", "{:,.1f} s")

    @property
    def memory(self) -> str:
        return self._cost("memory", "{:,.0f} MiB", 2**-20)

    def _cost(self, name: str, form: str, factor: float = 1.0) -> str:
        if self.baseline:
            return ""
        spread = self.costs[name]
        return "–" if spread is None else form.format(spread["mean"] * factor)


@dataclass(frozen=True)
class Verdict:
    """Whether the groups differ by more than luck.

    Args:
        said: in a sentence; where there is no test, why.
        pairs: the best group against each other one.
    """

    said: str
    pairs: tuple[Pair, ...] = ()


@dataclass(frozen=True)
class Report:
    """What a report says, whatever its format."""

    data: str
    metric: str
    rising: bool
    by: list[str]
    lines: list[Line]
    verdict: Verdict
    figures: list[Figure]
    differences: list[tuple[str, list[str]]]
    commands: list[tuple[str, str]]
    left_out: list[str] = field(default_factory=list)
    version: str = __version__

    @property
    def title(self) -> str:
        return f"{', '.join(self.by) or 'runs'} on {self.data}"

    def to_html(self) -> str:
        """One file that needs no other, and no network."""
        return _template("report.html", escape=True).render(report=self)

    def to_markdown(self) -> str:
        """For a pull request or a paper; its figures lie beside it, in figures/."""
        return _template("report.md", escape=False).render(report=self)

    def to_csv(self) -> str:
        """Bare numbers with all digits, as `attnlab table --format csv` writes them; costs are means over the runs."""
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        kinds = ["row", "column", "metric", "better", "baseline", "runs", "mean", "half_width"]
        writer.writerow([*kinds, "parameters", "seconds", "memory_bytes"])
        for line in self.lines:
            better, baseline = "more" if self.rising else "less", "yes" if line.baseline else "no"
            score = [line.score and line.score[key] for key in ("mean", "half_width")]
            costs = [spread and spread["mean"] for spread in map(line.costs.get, COSTS)]
            writer.writerow([line.name, self.data, self.metric, better, baseline, line.runs, *score, *costs])
        return written.getvalue()

    def to_zip(self) -> bytes:
        """Markdown, the table, and each figure as PNG and SVG, in a folder."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("report/report.md", self.to_markdown())
            archive.writestr("report/results.csv", self.to_csv())
            for figure in self.figures:
                archive.writestr(f"report/figures/{figure.name}.svg", figure.svg)
                archive.writestr(f"report/figures/{figure.name}.png", figure.png)
        return packed.getvalue()


def build_report(folder: Path, data: str, rows: Sequence[Row], *, by: Sequence[str] = (), metric: str = "") -> Report:
    """The report on runs of one data set.

    Args:
        folder: where the records lie.
        rows: the runs, as the index has them.
        by: keys of choices or configs whose values make groups; what the runs differ in where there is none.
        metric: the runs' own where it is empty.

    Raises:
        UserError: no run is finished.
    """
    finished = [row for row in rows if row["status"] == "finished"]
    if not finished:
        raise UserError(f"a report needs finished runs, and none of these {len(rows)} is; wait, or select others")
    facts = compared(finished, metric)
    shown, rising = str(facts["metric"]), bool(facts["rising"])
    keys = list(by) or default_keys(finished)
    groups = group_rows(finished, keys, shown)
    groups.sort(key=lambda group: _rank(group, rising))
    names = [_name(group["key"], keys) for group in groups]
    return Report(
        data=data,
        metric=shown,
        rising=rising,
        by=keys,
        lines=[*_group_lines(groups, names), *_baseline_lines(finished, shown)],
        verdict=_verdict(folder, finished, keys, shown, rising),
        figures=_figures(folder, finished, groups, names, keys, facts),
        differences=[
            (line["keys"][0], sorted({text(value) for value in line["values"]}))
            for line in facts["differences"][:MAX_DIFFERENCES]
        ],
        commands=[(row["id"], _command(folder / row["id"])) for row in finished],
        left_out=[f"{row['id']} ({row['status']})" for row in rows if row["status"] != "finished"],
    )


def default_keys(rows: Sequence[Row]) -> list[str]:
    """What the runs differ in: choices before values of the config, and never the seed."""
    differing = [line["keys"][0] for line in differences(rows) if "seed" not in line["keys"]]
    chosen = [key for key in differing if any(key in row["choices"] for row in rows)]
    return (chosen or differing)[:3] or ["encoder", "attention"]


def _rank(group: Row, rising: bool) -> float:
    if group["value"] is None:
        return float("inf")
    return -group["value"]["mean"] if rising else float(group["value"]["mean"])


def _name(key: dict[str, str], keys: Sequence[str]) -> str:
    return ", ".join(str(key[part]) for part in keys)


def _group_lines(groups: Sequence[Row], names: Sequence[str]) -> list[Line]:
    """The groups come best first; equal means are equally best."""
    best = groups[0]["value"] and groups[0]["value"]["mean"]
    return [
        Line(
            name,
            group["value"],
            len(group["runs"]),
            {cost: group[cost] for cost in COSTS},
            best=group["value"] is not None and group["value"]["mean"] == best,
        )
        for group, name in zip(groups, names, strict=True)
    ]


def _baseline_lines(rows: Sequence[Row], metric: str) -> list[Line]:
    """What is easy to beat, on the same examples; the mean over the runs, whose data may differ with the seed."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for key, value in row["summary"].items():
            if key.startswith("baseline/") and key.split("/", 2)[2:] == [metric.removeprefix("test/")]:
                found.setdefault(key.split("/")[1], []).append(value)
    return [
        Line(
            name.replace("_", " "),
            {"mean": sum(values) / len(values), "half_width": None},
            len(values),
            baseline=True,
        )
        for name, values in found.items()
    ]


def _verdict(folder: Path, rows: Sequence[Row], keys: Sequence[str], metric: str, rising: bool) -> Verdict:
    """That of `attnlab compare` on the same runs."""
    from attnlab.comparison import arrange, candidates, compare, conclusion  # scipy takes a while to import

    chosen = candidates(read_run(folder / row["id"]) for row in rows)
    try:
        (problem,) = arrange(chosen, by=keys, metric=metric, best="max" if rising else "min").problems
        comparison = compare(problem)
    except UserError as error:
        return Verdict(f"not tested: {error}")
    return Verdict(conclusion(comparison), tuple(pair.flipped() for pair in comparison.against(comparison.best)))


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3g}"


def _with_interval(spread: Row | None) -> str:
    if spread is None:
        return "–"
    half = spread["half_width"]
    return f"{spread['mean']:.4g}" + (f" ± {half:.2g}" if half is not None else "")


def _figures(
    folder: Path, rows: Sequence[Row], groups: Sequence[Row], names: Sequence[str], keys: Sequence[str], facts: Row
) -> list[Figure]:
    from attnlab.plots.comparison import plot_learning_curves, plot_quality_cost  # altair takes a while to import

    kept = drawn_runs(rows, keys)
    curves = curves_of([(row, readable_metrics(folder / row["id"])) for row in kept], "", keys)
    left_out = len(rows) - len(kept)
    order = {name: place for place, name in enumerate(names)}
    curves["curves"].sort(key=lambda curve: order.get(curve["name"], len(order)))
    figures = []
    if curves["curves"]:
        caption = f"{curves['metric']} over training; where a group has several runs, their mean and its 95 % interval."
        if left_out:
            runs_are = "run is" if left_out == 1 else "runs are"
            caption += f" Only the newest curves are shown: {left_out:,} older {runs_are} left out."
        figures.append(
            Figure(
                "learning_curves",
                "Learning curves",
                caption,
                plot_learning_curves(curves["curves"], curves["metric"]),
            )
        )
    group_of = {run: name for group, name in zip(groups, names, strict=True) for run in group["runs"]}
    runs = [{**run, "group": group_of.get(run["id"], "")} for run in facts["runs"]]
    figures.append(
        Figure(
            "quality_cost",
            "Quality against cost",
            f"{facts['metric']} of each run against its time and its size; the dashed line joins the runs that no "
            "other beats in both.",
            plot_quality_cost(runs, names, facts["metric"], facts["front"]),
        )
    )
    return figures + _maps(folder, rows, groups, names, facts)


def _maps(folder: Path, rows: Sequence[Row], groups: Sequence[Row], names: Sequence[str], facts: Row) -> list[Figure]:
    """What the best run of each of the first groups looked at: its last map of the first example."""
    from attnlab.plots.attention import plot_attention

    values = {row["id"]: value_of(row, facts["metric"]) for row in rows}
    drawn: list[Figure] = []
    for group, name in zip(groups[:MAX_MAPS], names, strict=False):
        known = [run for run in group["runs"] if values[run] is not None]
        if not known:
            continue
        run = (max if facts["rising"] else min)(known, key=lambda run: values[run])
        kept = AttentionRecord(folder / run)
        sites = kept.sites()
        if not sites:
            continue
        site = next((site.name for site in sites if site.name.startswith("head")), sites[0].name)
        try:
            weights, places = kept.weights(kept.epochs[-1], site, 0)
        except UserError:  # half-written: a report is made without
            continue
        chart = plot_attention(
            weights,
            places.rows,
            places.columns,
            title=name,
            row_title=places.row_title,
            column_title=places.column_title,
        )
        caption = f"What {site} of {run} looked at in the first kept {kept.described.get('split', 'val')} example."
        drawn.append(Figure(f"attention_{len(drawn) + 1}", f"Attention: {name}", caption, chart))
    return drawn


def _command(run: Path) -> str:
    """What was typed, so that it can be typed again."""
    try:
        typed = (run / record.OVERRIDES).read_text().splitlines()
    except OSError:
        typed = []
    kept = [word for word in typed if not word.startswith(("hydra.run.dir=", "run_dir="))]
    return shlex.join(["attnlab", "train", *kept])


def _cell(entry: object) -> str:
    """Text inside a table of Markdown."""
    return str(entry).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _template(name: str, *, escape: bool) -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from attnlab.comparison.report import need, p_text

    environment = Environment(
        loader=PackageLoader("attnlab.dashboard"),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals = {"need": need, "p_text": p_text, "signed": _signed, "cell": _cell}
    return environment.get_template(name)
