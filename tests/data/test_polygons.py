from __future__ import annotations

from fractions import Fraction
from itertools import combinations, permutations

import numpy as np
import pytest
import torch

from attnlab.batch import Batch
from attnlab.data.polygons import PolygonQuality, Polygons, convex_hull
from attnlab.spec import END_OF_POINTERS

END = END_OF_POINTERS
#: A square with a point in it; the last is padding.
SQUARE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.5, 0.25], [0.0, 0.0]]
Exact = tuple[Fraction, Fraction]


def side(p: Exact, q: Exact, r: Exact) -> Fraction:
    """Twice the signed area of a triangle, in whole fractions: above 0 where it turns left."""
    return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])


def exactly(points: np.ndarray) -> list[Exact]:
    return [(Fraction(float(x)), Fraction(float(y))) for x, y in points]


def hull_by_definition(points: np.ndarray) -> list[int]:
    """The edges that have all other points on their left, followed from the lowest corner."""
    places = exactly(points)
    following = {
        i: j
        for i, j in permutations(range(len(places)), 2)
        if all(side(places[i], places[j], places[k]) > 0 for k in range(len(places)) if k not in (i, j))
    }
    corners = [min(following)]
    while following[corners[-1]] != corners[0]:
        corners.append(following[corners[-1]])
    return corners


def simple_by_definition(points: np.ndarray, corners: list[int]) -> bool:
    """Three corners at least, none twice, and no two edges with a common point but for a shared corner."""
    if len(corners) < 3 or len(set(corners)) < len(corners):
        return False
    places = exactly(points)
    edges = [(corners[i], corners[(i + 1) % len(corners)]) for i in range(len(corners))]
    for (a, b), (c, d) in combinations(edges, 2):
        if {a, b} & {c, d}:
            continue
        p, q, r, s = (places[corner] for corner in (a, b, c, d))
        if side(p, q, r) * side(p, q, s) < 0 and side(r, s, p) * side(r, s, q) < 0:
            return False
    return True


def batch_of(points: list[list[list[float]]], hulls: list[list[int]]) -> Batch:
    """All points real; hulls with their ends, padded with 0."""
    width = max(map(len, hulls)) + 1
    targets = torch.tensor([[*hull, END, *[0] * (width - 1 - len(hull))] for hull in hulls])
    real = torch.arange(width) <= torch.tensor([[len(hull)] for hull in hulls])
    inputs = torch.tensor(points)
    return Batch(inputs, torch.ones(inputs.shape[:2], dtype=torch.bool), targets, real)


def quality(answer: list[int]) -> dict[str, float]:
    """Of one answer to the square."""
    metric = PolygonQuality()
    metric.update(torch.tensor([answer]), batch_of([SQUARE[:5]], [[0, 1, 2, 3]]))
    return {name: value.item() for name, value in metric.compute().items()}


@pytest.mark.parametrize("count", [3, 4, 7, 23])
def test_the_hull_is_that_of_its_definition_from_its_lowest_corner_counter_clockwise(count: int) -> None:
    random = np.random.default_rng(count)
    for _ in range(20):
        points = random.random((count, 2), dtype=np.float32)
        assert convex_hull(points).tolist() == hull_by_definition(points)


def test_the_hull_of_a_square_worked_out_by_hand() -> None:
    points = np.array(SQUARE[:5])[[4, 2, 0, 3, 1]]  # the inner one, then (1, 1), (0, 0), (0, 1), (1, 0)
    assert convex_hull(points).tolist() == [1, 3, 2, 4]


@pytest.mark.parametrize(
    ("answer", "accuracy", "coverage"),
    [
        ([0, 1, 2, 3, END], 1, 1),
        ([2, 3, 0, 1, END, END, END], 1, 1),  # from another corner
        ([3, 2, 1, 0, END], 1, 1),  # the other way round
        ([1, 2, 3, 0], 1, 1),  # it ran out of steps before its end
        ([0, 1, 2, 3, END, 4, 4], 1, 1),  # what is said after the end does not count
        ([0, 1, 2, END], 0, 0.5),
        ([0, 4, 1, 2, 3, END], 0, 0.875),  # a notch of half a base of 1 and a height of ¼
        ([4, 1, 2, END], 0, 0.25),  # ½ · 1 · ½
    ],
)
def test_polygons_worked_out_by_hand(answer: list[int], accuracy: float, coverage: float) -> None:
    assert quality(answer) == pytest.approx({"accuracy": accuracy, "invalid": 0, "area_coverage": coverage})


@pytest.mark.parametrize(
    "answer",
    [
        [0, 2, 1, 3, END],  # both diagonals
        [0, 1, END],
        [END, END],
        [0, 1, 2, 3, 0, END],  # home is understood
        [0, 1, 2, 0, 3, END],
    ],
    ids=str,
)
def test_what_is_no_simple_polygon_is_invalid_and_has_no_area(answer: list[int]) -> None:
    assert quality(answer) == {"accuracy": 0, "invalid": 1}


@pytest.mark.parametrize(
    ("corners", "simple"),
    [
        ([0, 1, 2, 3], True),
        ([0, 1, 2, 4], False),  # the corner 4 lies on the edge 0-1
        ([0, 4, 1, 2], True),  # a corner in the middle of a straight side
        ([5, 4, 1, 0], False),  # all on one line, forth and back
    ],
    ids=str,
)
def test_a_corner_on_another_edge_makes_a_polygon_that_is_not_simple(corners: list[int], simple: bool) -> None:
    points = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.5, 0.0], [0.25, 0.0]]])
    assert Polygons.of(points, torch.tensor([[*corners, END]])).simple.item() == simple


def test_polygons_of_any_length_agree_with_a_loop_in_whole_fractions() -> None:
    random = np.random.default_rng(7)
    points = random.random((300, 8, 2), dtype=np.float32)
    lengths = random.integers(0, 8, 300, endpoint=True)
    orders = np.stack([random.permutation(8) for _ in lengths])
    answers = np.where(np.arange(8) < lengths[:, None], orders, END)
    found = Polygons.of(torch.from_numpy(points), torch.from_numpy(answers))
    expected = [
        simple_by_definition(one, order[:length].tolist())
        for one, order, length in zip(points, orders, lengths, strict=True)
    ]
    assert found.simple.tolist() == expected
    assert 50 < sum(expected) < 250
    for one, order, length, area in zip(points, orders, lengths, found.area.tolist(), strict=True):
        places = exactly(one[order[:length]])
        fan = [side(places[0], places[i], places[i + 1]) for i in range(1, len(places) - 1)]
        assert area == pytest.approx(abs(float(sum(fan))) / 2, abs=1e-12)


def test_area_is_covered_on_average_over_the_valid_answers_alone() -> None:
    metric = PolygonQuality()
    answers = [[0, 1, 2, 3, END], [0, 1, 2, END, END], [0, 2, 1, 3, END]]
    hulls = [[0, 1, 2, 3]] * 3
    for rows in ([0, 1], [2]):  # in batches of different sizes
        batch = batch_of([SQUARE[:5]] * len(rows), [hulls[row] for row in rows])
        metric.update(torch.tensor([answers[row] for row in rows]), batch)
    expected = {"accuracy": 1 / 3, "invalid": 1 / 3, "area_coverage": 0.75}
    assert {name: value.item() for name, value in metric.compute().items()} == pytest.approx(expected)
