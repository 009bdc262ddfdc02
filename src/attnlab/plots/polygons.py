from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from jaxtyping import Float

from attnlab.plots.style import PREDICTION, QUIET, TRUTH


def plot_polygons(
    points: Float[np.ndarray, "points 2"],
    predicted: Sequence[Sequence[int]],
    true: Sequence[Sequence[int]],
    *,
    title: str,
) -> Any:
    """The predicted polygons over the true ones, each point with its number: a tour, a hull, or many triangles.

    Args:
        predicted, true: the corners of each polygon, in order.
    """
    layers = [
        _outlines(points, true).mark_line(color=QUIET, strokeWidth=6, strokeJoin="round", opacity=0.5),
        _outlines(points, predicted).mark_line(color=PREDICTION, strokeWidth=2, strokeJoin="round"),
    ]
    numbered = [{"x": float(x), "y": float(y), "point": index} for index, (x, y) in enumerate(points)]
    base = alt.Chart(alt.Data(values=numbered)).encode(**_axes())
    layers += [
        base.mark_point(filled=True, color=TRUTH, size=40),
        base.mark_text(dx=8, dy=-8).encode(text="point:N"),
    ]
    return alt.layer(*layers, title=title).properties(width=260, height=260)


def _outlines(points: np.ndarray, polygons: Sequence[Sequence[int]]) -> alt.Chart:
    rows = [
        {"x": float(points[corner, 0]), "y": float(points[corner, 1]), "step": step, "polygon": number}
        for number, corners in enumerate(polygons)
        for step, corner in enumerate([*corners, *corners[:1]])
    ]
    return alt.Chart(alt.Data(values=rows)).encode(**_axes(), order="step:Q", detail="polygon:N")


def _axes() -> dict[str, Any]:
    square = alt.Scale(domain=[0, 1])
    return {"x": alt.X("x:Q", scale=square, title=None), "y": alt.Y("y:Q", scale=square, title=None)}
