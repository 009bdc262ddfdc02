from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
from jaxtyping import Float, Int

from attnlab.plots.style import PREDICTION, QUIET, TRUTH


def plot_tour(
    points: Float[np.ndarray, "cities 2"],
    predicted: Int[np.ndarray, " cities"],
    optimal: Int[np.ndarray, " cities"],
    *,
    title: str,
) -> Any:
    """The predicted tour over the optimal one, each city with its number."""
    layers = [
        _closed(points, optimal).mark_line(color=QUIET, strokeWidth=6, opacity=0.5).encode(**_axes(), order="step:Q"),
        _closed(points, predicted).mark_line(color=PREDICTION, strokeWidth=2).encode(**_axes(), order="step:Q"),
    ]
    cities = [{"x": float(x), "y": float(y), "city": index} for index, (x, y) in enumerate(points)]
    base = alt.Chart(alt.Data(values=cities)).encode(**_axes())
    layers += [
        base.mark_point(filled=True, color=TRUTH, size=40),
        base.mark_text(dx=8, dy=-8).encode(text="city:N"),
    ]
    return alt.layer(*layers, title=title).properties(width=260, height=260)


def _closed(points: np.ndarray, tour: np.ndarray) -> alt.Chart:
    order = np.append(tour, tour[0])
    rows = [{"x": float(points[city, 0]), "y": float(points[city, 1]), "step": step} for step, city in enumerate(order)]
    return alt.Chart(alt.Data(values=rows))


def _axes() -> dict[str, Any]:
    square = alt.Scale(domain=[0, 1])
    return {"x": alt.X("x:Q", scale=square, title=None), "y": alt.Y("y:Q", scale=square, title=None)}
