from __future__ import annotations

import io

import numpy as np
from PIL import Image

from attnlab.plots.comparison import plot_learning_curves, plot_quality_cost
from attnlab.plots.style import PALETTE


def picture(chart: object) -> np.ndarray:
    drawn = io.BytesIO()
    chart.save(drawn, format="png")  # type: ignore[attr-defined]
    return np.asarray(Image.open(drawn).convert("RGB")).astype(int)


def has_colour(pixels: np.ndarray, colour: str) -> bool:
    wanted = [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
    return bool((np.abs(pixels - wanted).max(-1) < 12).any())


def test_each_group_has_its_line_and_its_band() -> None:
    points = [{"step": 1, "value": 0.5, "low": 0.4, "high": 0.6}, {"step": 2, "value": 0.3, "low": 0.2, "high": 0.4}]
    curves = [{"name": "gru", "points": points}, {"name": "lstm", "points": [{"step": 1, "value": 0.9}]}]
    chart = plot_learning_curves(curves, "val/mae")
    assert [layer["mark"]["type"] for layer in chart.to_dict()["layer"]] == ["area", "line"]
    pixels = picture(chart)
    assert has_colour(pixels, PALETTE[0])
    assert has_colour(pixels, PALETTE[1])


def test_single_runs_have_no_band() -> None:
    chart = plot_learning_curves([{"name": "a", "points": [{"step": 1, "value": 0.5}]}], "val/mae")
    assert [layer["mark"]["type"] for layer in chart.to_dict()["layer"]] == ["line"]


def test_runs_without_a_cost_or_a_value_are_left_out() -> None:
    runs = [
        {"id": "a", "group": "x", "value": 0.1, "seconds": 10.0, "parameters": 100},
        {"id": "b", "group": "x", "value": None, "seconds": 10.0, "parameters": 100},
        {"id": "c", "group": "x", "value": 0.2, "seconds": None, "parameters": 90},
    ]
    spec = plot_quality_cost(runs, ["x"], "test/mae", {"seconds": ["a"], "parameters": ["a", "c"]}).to_dict()
    shown = [[[row["id"] for row in layer["data"]["values"]] for layer in panel["layer"]] for panel in spec["hconcat"]]
    assert shown == [[["a"], ["a"]], [["a", "c"], ["a", "c"]]]  # the front and the dots, by time and by size
