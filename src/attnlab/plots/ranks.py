"""The critical-difference diagram of Demšar 2006, JMLR 7, figure 1."""

from __future__ import annotations

import math
from typing import Any

import altair as alt

from attnlab.comparison.ranks import Ranking
from attnlab.plots.style import PREDICTION, TRUTH

WIDTH, ROW = 420, 18
#: Room for names beside the axis, in ranks.
MARGIN = 0.12


def plot_critical_difference(ranking: Ranking) -> alt.LayerChart:
    """Mean ranks on a line, the best at the left; a thick bar joins groups that are not shown to differ."""
    count = len(ranking.names)
    half = (count + 1) // 2
    bars = len(ranking.cliques)
    depth = bars + max(half, count - half) + 1
    top = -2.6 if ranking.differ else -1.6
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[1, max(count, 2)], nice=False, zero=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[depth, top], nice=False, zero=False))

    def rules(rows: list[dict[str, Any]], **style: Any) -> alt.Chart:
        return alt.Chart(alt.Data(values=rows)).mark_rule(**style).encode(x=x, y=y, x2="x2:Q", y2="y2:Q")

    def texts(rows: list[dict[str, Any]], **style: Any) -> alt.Chart:
        return alt.Chart(alt.Data(values=rows)).mark_text(**style).encode(x=x, y=y, text="text:N")

    ends = (1.0, float(max(count, 2)))
    axis: list[dict[str, Any]] = [{"x": ends[0], "x2": ends[1], "y": 0, "y2": 0}]
    axis += [{"x": tick, "x2": tick, "y": -0.3, "y2": 0} for tick in range(1, int(ends[1]) + 1)]
    ticks: list[dict[str, Any]] = [{"x": tick, "y": -0.8, "text": str(tick)} for tick in range(1, int(ends[1]) + 1)]
    left: list[dict[str, Any]] = []
    right: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for index, (name, rank) in enumerate(zip(ranking.names, ranking.ranks, strict=True)):
        better = index < half
        level = bars + 1.0 + (index if better else count - 1 - index)
        side = ends[0] - MARGIN if better else ends[1] + MARGIN
        lines += [{"x": rank, "x2": rank, "y": 0, "y2": level}, {"x": rank, "x2": side, "y": level, "y2": level}]
        (left if better else right).append({"x": side, "y": level, "text": f"{name} ({rank:.2f})"})
    joined = [
        {"x": ranking.ranks[first] - 0.03, "x2": ranking.ranks[last] + 0.03, "y": row + 0.7, "y2": row + 0.7}
        for row, (first, last) in enumerate(ranking.cliques)
    ]
    layers = [
        rules(axis + lines, color=TRUTH),
        rules(joined, color=PREDICTION, strokeWidth=4),
        texts(ticks, color=TRUTH),
        texts(left, align="right", dx=-4, color=TRUTH),
        texts(right, align="left", dx=4, color=TRUTH),
    ]
    title = f"mean ranks over {ranking.num_problems} data sets; {ranking.test} p = {ranking.p:.2g}"
    if ranking.differ:
        # The scale of a difference; of one that is wider than the axis no part could be told from the whole.
        width = min(ranking.critical_difference, ends[1] - ends[0])
        layers.append(rules([{"x": 1, "x2": 1 + width, "y": -1.8, "y2": -1.8}], color=TRUTH, strokeWidth=2))
        text = f"critical difference {ranking.critical_difference:.2f}"
        layers.append(texts([{"x": 1, "y": -2.3, "text": text}], align="left", color=TRUTH))
    else:
        title += ": no difference shown"
    height = math.ceil(ROW * (depth - top))
    return alt.layer(*layers, title=title).properties(width=WIDTH, height=height).configure_view(stroke=None)
