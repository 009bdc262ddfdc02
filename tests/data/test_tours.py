from __future__ import annotations

import gzip
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from attnlab.data.tours import UNITS, canonical_tour, optimal_tour


def length(points: np.ndarray, tour: np.ndarray) -> float:
    ordered = points[tour].astype(np.float64)
    return float(np.hypot(*(ordered - np.roll(ordered, -1, axis=0)).T).sum())


def shortest_by_trying_all(points: np.ndarray) -> float:
    count = len(points)
    tours = np.array([(0, *rest) for rest in itertools.permutations(range(1, count))])
    ordered = points[tours].astype(np.float64)
    return float(np.linalg.norm(ordered - np.roll(ordered, -1, axis=1), axis=-1).sum(1).min())


def shortest_by_held_karp(points: np.ndarray) -> float:
    """Held & Karp 1962: the shortest path from city 0 through a set of cities that ends in one of them."""
    count = len(points)
    distance = [[math.dist(a, b) for b in points.tolist()] for a in points.tolist()]
    paths = {(1 << city, city): distance[0][city] for city in range(1, count)}
    for size in range(2, count):
        longer = {}
        for cities in itertools.combinations(range(1, count), size):
            visited = sum(1 << city for city in cities)
            for last in cities:
                before = visited ^ (1 << last)
                longer[visited, last] = min(
                    paths[before, city] + distance[city][last] for city in cities if city != last
                )
        paths = longer
    return min(path + distance[last][0] for (_, last), path in paths.items())


def assert_proper(tour: np.ndarray, count: int) -> None:
    assert sorted(tour.tolist()) == list(range(count))
    assert tour[0] == 0
    assert count < 3 or tour[1] < tour[-1]


def assert_shortest(points: np.ndarray, best: float) -> None:
    tour = optimal_tour(points)
    assert_proper(tour, len(points))
    # each of the 2 n distances in question is rounded by at most half a unit
    assert -1e-9 <= length(points, tour) - best <= len(points) / UNITS


@pytest.mark.parametrize("count", [1, 2, 3])
def test_up_to_three_cities_there_is_one_tour(count: int) -> None:
    points = np.random.default_rng(0).random((count, 2), dtype=np.float32)
    assert optimal_tour(points).tolist() == list(range(count))


def test_a_square_is_walked_around_and_not_across() -> None:
    points = np.array([[0, 0], [1, 1], [1, 0], [0, 1]], dtype=np.float32)
    assert optimal_tour(points).tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [3, 4, 5, 6, 7, 8])
def test_a_tour_is_as_short_as_the_best_of_all(count: int, seed: int) -> None:
    points = np.random.default_rng([count, seed]).random((count, 2), dtype=np.float32)
    assert_shortest(points, shortest_by_trying_all(points))


@pytest.mark.parametrize(("count", "seed"), [*((10, seed) for seed in range(6)), (11, 0), (12, 0)])
def test_a_tour_is_as_short_as_dynamic_programming_finds(count: int, seed: int) -> None:
    points = np.random.default_rng([count, seed]).random((count, 2), dtype=np.float32)
    assert_shortest(points, shortest_by_held_karp(points))


def test_the_two_oracles_agree() -> None:
    points = np.random.default_rng(9).random((7, 2))
    assert shortest_by_held_karp(points) == pytest.approx(shortest_by_trying_all(points))


def test_cities_on_a_circle_are_walked_in_its_order_up_to_the_exact_limit() -> None:
    order = np.random.default_rng(2).permutation(14)
    angle = 2 * np.pi * order / 14
    points = 0.5 + 0.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    tour = optimal_tour(points)
    assert_proper(tour, 14)
    assert set(np.diff(order[tour]) % 14) in ({1}, {13})


@pytest.mark.parametrize("points", [np.full((5, 2), 0.5), np.repeat([[0.0, 0], [1, 1], [1, 0]], 2, axis=0)])
def test_cities_that_coincide_are_each_visited(points: np.ndarray) -> None:
    tour = optimal_tour(points)
    assert_proper(tour, len(points))
    assert length(points, tour) == pytest.approx(0 if len(points) == 5 else 2 + math.sqrt(2))


@pytest.mark.parametrize("count", [15, 16, 20, 21, 30])
def test_beyond_the_exact_limit_a_tour_is_proper_and_better_than_the_order_of_arrival(count: int) -> None:
    points = np.random.default_rng(count).random((count, 2), dtype=np.float32)
    tour = optimal_tour(points)
    assert_proper(tour, count)
    assert length(points, tour) < length(points, np.arange(count))


@pytest.mark.parametrize(
    ("tour", "expected"),
    [
        ([2, 0, 1], [0, 1, 2]),
        ([3, 1, 0, 2], [0, 1, 3, 2]),
        ([0, 4, 2, 3, 1], [0, 1, 3, 2, 4]),
        ([1, 0], [0, 1]),
        ([0], [0]),
    ],
)
def test_the_name_of_a_tour_worked_out_by_hand(tour: list[int], expected: list[int]) -> None:
    assert canonical_tour(np.array(tour)).tolist() == expected


@pytest.mark.parametrize("count", [3, 4, 7])
def test_each_cycle_has_one_name_wherever_it_starts_and_whichever_way_it_turns(count: int) -> None:
    tour = np.random.default_rng(count).permutation(count)
    names = {
        tuple(canonical_tour(np.roll(way, start)).tolist()) for way in (tour, tour[::-1]) for start in range(count)
    }
    (name,) = names
    assert_proper(np.array(name), count)

    def edges(cycle: list[int]) -> set[frozenset[int]]:
        return {frozenset(pair) for pair in zip(cycle, cycle[1:] + cycle[:1], strict=True)}

    assert edges(list(name)) == edges(tour.tolist())


def test_the_tours_of_the_pointer_networks_paper_are_as_long_as_ours(shared: Path) -> None:
    file = shared / "data" / "ptrnet" / "tsp_10_test_exact.txt.gz"
    if not file.is_file():
        pytest.skip(f"{file} is not here")
    with gzip.open(file, "rt") as lines:
        for line in itertools.islice(lines, 100):
            numbers, theirs = line.split(" output ")
            points = np.array(numbers.split(), dtype=np.float64).reshape(10, 2)
            published = np.array(theirs.split(), dtype=int)[:-1] - 1  # from 1, and home again
            assert length(points, optimal_tour(points)) == pytest.approx(length(points, published), abs=1e-3)
