from __future__ import annotations

from typing import Any

import numpy as np

from attnlab.plots.forecasts import plot_forecast

PAST = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
TRUTH = np.array([[4.0, 40.0], [0.0, 50.0]])
OBSERVED = np.array([[True, True], [False, True]])
FORECAST = np.array([[4.5, 45.0], [5.5, 55.0]])


def panels() -> list[dict[str, Any]]:
    chart = plot_forecast(PAST, TRUTH, OBSERVED, FORECAST, ["load", "wind"], title="test example 1 of 3").to_dict()
    assert chart["title"] == "test example 1 of 3"
    return chart["vconcat"]


def line(panel: dict[str, Any], what: str) -> list[tuple[int, float]]:
    return [(row["step"], row["value"]) for row in panel["data"]["values"] if row["what"] == what]


def test_each_variable_has_a_panel_of_past_truth_and_forecast() -> None:
    load, wind = panels()
    assert load["encoding"]["y"]["title"] == "load"
    assert line(load, "known") == [(-3, 1.0), (-2, 2.0), (-1, 3.0)]
    assert line(load, "forecast") == [(0, 4.5), (1, 5.5)]
    assert wind["encoding"]["y"]["title"] == "wind"
    assert line(wind, "known") == [(-3, 10.0), (-2, 20.0), (-1, 30.0)]
    assert line(wind, "truth") == [(0, 40.0), (1, 50.0)]


def test_a_truth_that_was_not_measured_is_not_drawn() -> None:
    load, _ = panels()
    assert line(load, "truth") == [(0, 4.0)]


def test_the_axis_of_time_is_named_once_at_the_bottom() -> None:
    load, wind = panels()
    assert load["encoding"]["x"]["title"] is None
    assert wind["encoding"]["x"]["title"] == "rows after the forecast was made"
