from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
from jaxtyping import Bool, Float

from attnlab.plots.style import PAST, PREDICTION, TRUTH


def plot_forecast(
    past: Float[np.ndarray, "lookback variables"],
    truth: Float[np.ndarray, "horizon variables"],
    observed: Bool[np.ndarray, "horizon variables"],
    prediction: Float[np.ndarray, "horizon variables"],
    names: Sequence[str],
    *,
    title: str,
) -> alt.VConcatChart:
    """One panel per variable: what was known, what was forecast and what came. Time is in rows from the forecast."""
    panels = []
    for index, name in enumerate(names):
        rows = [_row(step - len(past), value, "known") for step, value in enumerate(past[:, index])]
        rows += [_row(step, value, "truth") for step, value in enumerate(truth[:, index]) if observed[step, index]]
        rows += [_row(step, value, "forecast") for step, value in enumerate(prediction[:, index])]
        colour = alt.Scale(domain=["known", "truth", "forecast"], range=[PAST, TRUTH, PREDICTION])
        panels.append(
            alt.Chart(alt.Data(values=rows))
            .mark_line(interpolate="linear", strokeWidth=1.5)
            .encode(
                x=alt.X(
                    "step:Q",
                    title="rows after the forecast was made" if index == len(names) - 1 else None,
                    scale=alt.Scale(nice=False),
                ),
                y=alt.Y("value:Q", title=name, scale=alt.Scale(zero=False)),
                color=alt.Color("what:N", scale=colour, title=None),
            )
            .properties(width=560, height=110)
        )
    return alt.vconcat(*panels, title=title)


def _row(step: int, value: float, what: str) -> dict[str, int | float | str]:
    return {"step": step, "value": float(value), "what": what}
