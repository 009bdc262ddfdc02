from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
import torch

from attnlab.batch import Batch
from attnlab.data.polygons import convex_hull
from attnlab.data.triangulations import TriangulationQuality, delaunay_triangles, incenters, most_triangles
from attnlab.spec import END_OF_POINTERS

END = END_OF_POINTERS


def in_circle(corners: np.ndarray, point: np.ndarray) -> bool:
    """Whether a point lies within the circle through three corners, by the determinant in whole fractions."""
    (ax, ay), (bx, by), (cx, cy) = (
        [Fraction(float(value)) - Fraction(float(origin)) for value, origin in zip(corner, point, strict=True)]
        for corner in corners
    )
    a, b, c = ax * ax + ay * ay, bx * bx + by * by, cx * cx + cy * cy
    determinant = ax * (by * c - b * cy) - ay * (bx * c - b * cx) + a * (bx * cy - by * cx)
    turn = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    return determinant * turn > 0


def triangles_by_definition(points: np.ndarray) -> set[tuple[int, ...]]:
    """All triples whose circle is empty."""
    count = len(points)
    return {
        triple
        for triple in combinations(range(count), 3)
        if not any(in_circle(points[list(triple)], points[k]) for k in range(count) if k not in triple)
    }


def incenter_by_angles(triangle: np.ndarray) -> tuple[float, float]:
    """Where the lines that halve two angles meet."""
    a, b, c = (np.asarray(corner, dtype=float) for corner in triangle)

    def halving(at: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (one - at) / math.dist(one, at) + (other - at) / math.dist(other, at)

    steps = np.linalg.solve(np.stack([halving(a, b, c), -halving(b, a, c)], axis=1), b - a)
    x, y = a + steps[0] * halving(a, b, c)
    return float(x), float(y)


@pytest.mark.parametrize("count", [3, 4, 5, 9, 13])
def test_the_triangles_are_those_with_empty_circles_in_the_order_of_their_incenters(count: int) -> None:
    random = np.random.default_rng(count)
    for _ in range(5):
        points = random.random((count, 2), dtype=np.float32)
        triangles = delaunay_triangles(points).tolist()
        assert {tuple(triangle) for triangle in triangles} == triangles_by_definition(points)
        assert all(a < b < c for a, b, c in triangles)
        centers = [incenter_by_angles(points[triangle]) for triangle in triangles]
        assert centers == sorted(centers)
        assert len(triangles) == 2 * count - 2 - len(convex_hull(points)) <= most_triangles(count)


def test_most_triangles_have_a_triangle_for_a_hull() -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 1.0], [0.5, 0.3], [0.45, 0.5]])
    assert len(delaunay_triangles(points)) == most_triangles(5) == 5


def test_the_incenter_of_a_right_triangle_worked_out_by_hand() -> None:
    # sides 3, 4 and 5: the radius is (3 + 4 - 5) / 2 = 1
    triangles = np.array([[[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]], [[1.0, 1.0], [4.0, 1.0], [1.0, 5.0]]])
    np.testing.assert_allclose(incenters(triangles), [[1, 1], [2, 2]])


#: Two triangles of a square, and three of a pentagon.
TRUTH = [[0, 1, 2, 0, 2, 3, END, 0, 0, 0], [0, 1, 2, 0, 2, 3, 0, 3, 4, END]]


def quality(*answers: list[int]) -> dict[str, float]:
    metric = TriangulationQuality()
    targets = torch.tensor(TRUTH[-len(answers) :])
    real = torch.arange(10) <= (targets == END).long().argmax(1)[:, None]
    inputs = torch.zeros(len(answers), 5, 2)
    metric.update(torch.tensor(answers), Batch(inputs, torch.ones(len(answers), 5, dtype=torch.bool), targets, real))
    return {name: value.item() for name, value in metric.compute().items()}


@pytest.mark.parametrize(
    ("answer", "accuracy", "found"),
    [
        ([0, 1, 2, 0, 2, 3, 0, 3, 4, END], 1, 3),
        ([4, 0, 3, 2, 1, 0, 3, 2, 0, END, END, END], 1, 3),  # in any order
        ([0, 1, 2, 0, 2, 3, 0, 3, 4], 1, 3),  # it ran out of steps before its end
        ([0, 1, 2, 0, 2, 3, END, 0, 3, 4], 0, 2),  # what is said after the end does not count
        ([0, 1, 2, 0, 2, 3, 0, 3, END], 0, 2),  # no whole triangle
        ([0, 1, 2, 0, 2, 3, 0, 3, 4, 1, 2, 3, END], 0, 3),  # one too many
        ([0, 1, 2, 0, 2, 3, 0, 3, 4, 0, 1, 2, END], 0, 3),  # one twice
        ([0, 1, 2, 0, 1, 2, 0, 1, 2, END], 0, 1),  # as many as there are, but always the same
        ([0, 1, 2, 0, 2, 3, 0, 3, 3, END], 0, 2),  # a corner twice
        ([1, 0, 1, 2, 0, 2, 3, 0, 3, END], 0, 0),  # out of step: (0 1 1), (0 2 2), (0 3 3)
        ([END, 0, 1], 0, 0),
    ],
    ids=str,
)
def test_triangulations_worked_out_by_hand(answer: list[int], accuracy: float, found: int) -> None:
    assert quality(answer) == pytest.approx({"accuracy": accuracy, "triangle_coverage": found / 3})


def test_triangles_count_alike_in_large_and_small_triangulations() -> None:
    answers = [[0, 1, 2, 0, 2, 3, END, END, END, END], [0, 1, 2, END, END, END, END, END, END, END]]
    assert quality(*answers) == pytest.approx({"accuracy": 0.5, "triangle_coverage": 3 / 5})
