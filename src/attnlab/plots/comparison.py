"""Runs against each other: how they learned, and what their quality cost."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import altair as alt

from attnlab.plots.style import PALETTE, QUIET

#: Costs of a run, by the name under which a row has them.
COST_TITLES = {"seconds": "seconds of training", "parameters": "parameters"}


def plot_learning_curves(curves: Sequence[Mapping[str, Any]], metric: str) -> Any:
    """A line for each group, and behind it the interval over its runs.

    Args:
        curves: {"name", "points"}; a point has step and value, and low and high where there is an interval.
    """
    points = [{"group": curve["name"], **point} for curve in curves for point in curve["points"]]
    names = [curve["name"] for curve in curves]
    base = alt.Chart(alt.Data(values=points)).encode(x=alt.X("step:Q", title="training steps"), color=_colours(names))
    band = base.mark_area(opacity=0.2).encode(y=alt.Y("low:Q", title=metric), y2="high:Q")
    line = base.mark_line(strokeWidth=2, point=len(points) < 120).encode(
        y=alt.Y("value:Q", title=metric, scale=alt.Scale(zero=False))
    )
    has_band = any(point.get("low") is not None for point in points)
    return alt.layer(*([band, line] if has_band else [line])).properties(width=520, height=280)


def plot_quality_cost(
    runs: Sequence[Mapping[str, Any]], names: Sequence[str], metric: str, fronts: Mapping[str, Collection[str]]
) -> Any:
    """Each run's quality against its time and its size; a line joins the runs that no other beats in both.

    Args:
        runs: {"id", "group", "value", "seconds", "parameters"}
        names: of the groups, in the order of their colours.
        fronts: cost → ids of the runs on its Pareto front.
    """
    panels = []
    for cost, title in COST_TITLES.items():
        known = [dict(run) for run in runs if run["value"] is not None and run.get(cost)]
        x = alt.X(f"{cost}:Q", title=title, scale=alt.Scale(type="log", nice=False, padding=20))
        y = alt.Y("value:Q", title=metric, scale=alt.Scale(zero=False))
        front = [run for run in known if run["id"] in fronts.get(cost, ())]
        line = alt.Chart(alt.Data(values=front)).mark_line(color=QUIET, strokeDash=[4, 3]).encode(x=x, y=y)
        dots = (
            alt.Chart(alt.Data(values=known)).mark_point(filled=True, size=70).encode(x=x, y=y, color=_colours(names))
        )
        panels.append(alt.layer(line, dots).properties(width=270, height=230))
    return alt.hconcat(*panels)


def _colours(names: Sequence[str]) -> alt.Color:
    colours = [PALETTE[index % len(PALETTE)] for index in range(len(names))]
    scale = alt.Scale(domain=list(names), range=colours)
    return alt.Color("group:N", title=None, scale=scale, legend=alt.Legend(orient="bottom", labelLimit=400))
