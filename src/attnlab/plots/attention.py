from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import altair as alt
import numpy as np
from jaxtyping import Float

from attnlab.plots.style import NOTHING, TRUTH

# Above this many cells a heat-map is drawn as one image: a mark for each cell would be slow and heavy.
MAX_MARKS = 10_000


def plot_attention(
    weights: Float[np.ndarray, "queries items"],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str,
    row_title: str,
    column_title: str,
) -> alt.LayerChart | alt.Chart:
    """A heat-map: each row is a query, each column an item, the darker the more weight.

    Args:
        rows, columns: labels, one per query and per item.
    """
    if weights.shape != (len(rows), len(columns)):
        raise ValueError(f"weights {weights.shape} need {weights.shape[0]} row and {weights.shape[1]} column labels")
    if weights.size > MAX_MARKS:
        return _as_image(weights, title, row_title, column_title)
    cells = [
        {"row": i, "column": j, "weight": float(weights[i, j])} for i in range(len(rows)) for j in range(len(columns))
    ]
    size = max(4, min(24, 480 // max(len(columns), 1)))
    return (
        alt.Chart(alt.Data(values=cells), title=title)
        .mark_rect()
        .encode(
            x=alt.X("column:O", title=column_title, axis=_labels(columns)),
            y=alt.Y("row:O", title=row_title, axis=_labels(rows)),
            color=alt.Color("weight:Q", scale=alt.Scale(range=[NOTHING, TRUTH], domainMin=0)),
        )
        .properties(width=size * len(columns), height=max(4, min(24, 480 // max(len(rows), 1))) * len(rows))
    )


def _labels(labels: Sequence[str]) -> alt.Axis:
    """Positions are the scale, so that equal labels keep their own rows; every so many is written."""
    every = max(1, len(labels) // 24)
    shown = [index for index in range(len(labels)) if index % every == 0]
    names = "{" + ",".join(f"'{index}':{label!r}" for index, label in enumerate(labels) if index in shown) + "}"
    return alt.Axis(values=shown, labelExpr=f"({names})[datum.value]", labelAngle=0, labelOverlap=True, ticks=False)


def _as_image(weights: np.ndarray, title: str, row_title: str, column_title: str) -> alt.LayerChart:
    from PIL import Image

    shade = 255 - np.rint(255 * weights / max(float(weights.max()), 1e-12)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(shade, mode="L").save(buffer, format="png")
    url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    height, width = weights.shape
    frame = alt.Chart(alt.Data(values=[{"x": 0, "y": 0, "x2": width, "y2": height, "url": url}]), title=title)
    axes = {
        "x": alt.X("x:Q", title=column_title, scale=alt.Scale(domain=[0, width], nice=False)),
        "y": alt.Y("y:Q", title=row_title, scale=alt.Scale(domain=[height, 0], nice=False)),
    }
    corner = frame.mark_point(opacity=0).encode(**axes)
    picture = frame.mark_image(width=480, height=360, aspect=False, align="left", baseline="top").encode(
        url="url:N", **axes
    )
    return (picture + corner).properties(width=480, height=360)
