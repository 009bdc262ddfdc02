from __future__ import annotations

import io
import json

import numpy as np

from attnlab.comparison import rank
from attnlab.plots.ranks import plot_critical_difference

SCORES = np.array([[4.0, 3.0, 2.0, 1.0]] * 5)


def test_names_stand_with_their_ranks_and_the_critical_difference_is_drawn() -> None:
    svg = io.StringIO()
    plot_critical_difference(rank(["gru", "lstm", "tcn", "none"], SCORES)).save(svg, format="svg")
    for text in ("gru (1.00)", "lstm (2.00)", "tcn (3.00)", "none (4.00)", "critical difference 2.10"):
        assert f">{text}<" in svg.getvalue()
    assert "mean ranks over 5 data sets; Friedman p = 0.0018" in svg.getvalue()


def test_a_bar_joins_those_that_are_not_shown_to_differ() -> None:
    drawn = plot_critical_difference(rank(["gru", "lstm", "tcn", "none"], SCORES)).to_dict()
    (bars,) = (layer for layer in drawn["layer"] if layer["mark"].get("strokeWidth") == 4)
    rows = bars["data"]["values"] if "values" in bars["data"] else drawn["datasets"][bars["data"]["name"]]
    assert [(round(row["x"]), round(row["x2"])) for row in rows] == [(1, 3), (2, 4)]
    assert rows[0]["y"] != rows[1]["y"]


def test_where_no_difference_is_shown_the_picture_says_so() -> None:
    equal = rank(["a", "b", "c"], np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [3.0, 1.0, 2.0]]))
    text = json.dumps(plot_critical_difference(equal).to_dict())
    assert "Friedman p = 1: no difference shown" in text
    assert "critical difference" not in text
