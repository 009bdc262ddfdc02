from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from attnlab.plots.polygons import plot_polygons

POINTS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


@pytest.fixture
def layers() -> list[dict[str, Any]]:
    chart = plot_polygons(POINTS, [[0, 2, 1, 3]], [[0, 1, 2, 3]], title="length 4.83").to_dict()
    assert chart["title"] == "length 4.83"
    return chart["layer"]


def corners(layer: dict[str, Any]) -> list[tuple[float, float]]:
    rows = sorted(layer["data"]["values"], key=lambda row: row["step"])
    return [(row["x"], row["y"]) for row in rows]


def test_both_tours_come_home_and_the_optimal_one_lies_below(layers: list[dict[str, Any]]) -> None:
    assert corners(layers[0]) == [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]
    assert corners(layers[1]) == [(0, 0), (1, 1), (1, 0), (0, 1), (0, 0)]
    assert layers[0]["mark"]["color"] != layers[1]["mark"]["color"]
    assert layers[0]["encoding"]["order"]["field"] == "step"  # not sorted by x, as lines are


def test_each_of_many_polygons_is_closed_by_itself_and_none_is_no_harm() -> None:
    chart = plot_polygons(POINTS, [], [[0, 1, 2], [0, 2, 3]], title="none of 2 triangles").to_dict()
    rows = chart["layer"][0]["data"]["values"]
    outlines = [[(row["x"], row["y"]) for row in rows if row["polygon"] == number] for number in (0, 1)]
    assert outlines == [[(0, 0), (1, 0), (1, 1), (0, 0)], [(0, 0), (1, 1), (0, 1), (0, 0)]]
    assert chart["layer"][0]["encoding"]["detail"]["field"] == "polygon"
    assert chart["layer"][1]["data"]["values"] == []


def test_each_point_has_its_number(layers: list[dict[str, Any]]) -> None:
    numbered = {row["point"]: (row["x"], row["y"]) for row in layers[3]["data"]["values"]}
    assert numbered == {0: (0, 0), 1: (1, 0), 2: (1, 1), 3: (0, 1)}
    assert layers[3]["encoding"]["text"]["field"] == "point"


def test_every_picture_shows_the_whole_unit_square(layers: list[dict[str, Any]]) -> None:
    for layer in layers:
        assert layer["encoding"]["x"]["scale"]["domain"] == [0, 1]
        assert layer["encoding"]["y"]["scale"]["domain"] == [0, 1]
