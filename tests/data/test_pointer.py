from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from attnlab.batch import Batch
from attnlab.data import TSP, ConvexHull, Delaunay
from attnlab.data import pointer as pointer_module
from attnlab.data.polygons import convex_hull
from attnlab.data.tours import optimal_tour
from attnlab.data.triangulations import delaunay_triangles
from attnlab.errors import UserError
from attnlab.spec import END_OF_POINTERS, DataSpec, PointerSequence, Points

END = END_OF_POINTERS
USUAL = {"num_points": "3-8", "num_train": 37, "num_val": 11, "num_test": 13, "batch_size": 7, "seed": 1}
#: A square about the origin with a point in it, not quite in its middle; the last is padding.
SQUARE = [[-1.0, -1.0], [1.0, 1.0], [0.25, 0.0], [1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]]


def tsp(**options: Any) -> TSP:
    return TSP(**{**USUAL, **options})


def answered(name: str, *instances: list[list[float]], padding: int = 0) -> list[list[int]]:
    """What a baseline answers, up to its first end."""
    data = {baseline: kind for kind in (ConvexHull(**USUAL), Delaunay(**USUAL)) for baseline in kind.baselines()}[name]
    points = torch.tensor(instances)
    real = (torch.arange(points.shape[1]) < points.shape[1] - padding).expand(len(points), -1)
    answers = data.baselines()[name](Batch(points, real, points, real)).tolist()
    return [answer[: answer.index(END)] for answer in answers]


def test_the_spec_names_the_most_cities() -> None:
    assert tsp().spec == DataSpec(Points(2), PointerSequence(8), max_length=8)
    assert tsp(num_points=5).spec == DataSpec(Points(2), PointerSequence(5), max_length=5)


def test_every_target_is_the_best_tour_of_the_real_cities() -> None:
    source = tsp().source("train")
    batch = source[np.arange(len(source))]
    counts = batch.input_mask.sum(1).tolist()
    assert set(counts) == set(range(3, 9))
    for points, mask, tour, tour_mask, count in zip(*batch[:4], counts, strict=True):
        assert mask.tolist() == tour_mask.tolist() == [True] * count + [False] * (8 - count)
        assert not points[count:].any()
        assert ((points[:count] >= 0) & (points[:count] < 1)).all()
        assert tour.tolist() == optimal_tour(points[:count].numpy()).tolist() + [0] * (8 - count)


def test_labels_are_made_once_and_only_where_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    solved = []

    def _solve(points: np.ndarray) -> np.ndarray:
        solved.append(len(points))
        return np.arange(len(points))

    monkeypatch.setattr(pointer_module, "optimal_tour", _solve)
    source = tsp(num_points=5).source("val")
    first = source[np.array([4, 2])]
    again = source[np.array([2, 4, 7])]
    assert solved == [5, 5, 5]
    assert torch.equal(first.inputs, again.inputs[[1, 0]])


def test_the_nearest_neighbour_worked_out_by_hand() -> None:
    line = torch.tensor([[0.5, 0], [0.1, 0], [0.6, 0], [0.9, 0], [0.35, 0]])
    real = torch.ones(1, 5, dtype=torch.bool)
    batch = Batch(line[None], real, torch.arange(5)[None], real)
    assert tsp().baselines()["nearest_neighbour"](batch).tolist() == [[0, 2, 4, 1, 3]]


def test_the_nearest_neighbour_agrees_with_a_loop_on_padded_instances() -> None:
    data = tsp(num_train=101)
    source = data.source("train")
    batch = source[np.arange(101)]
    answer = data.baselines()["nearest_neighbour"](batch)
    for points, mask, tour in zip(batch.inputs.numpy(), batch.input_mask, answer.tolist(), strict=True):
        expected, unseen = [0], set(range(1, int(mask.sum())))
        while unseen:
            here = points[expected[-1]]
            expected.append(min(unseen, key=lambda city: float(np.linalg.norm(points[city] - here))))
            unseen.remove(expected[-1])
        assert tour[: len(expected)] == expected


def test_a_random_order_is_that_in_which_the_cities_come() -> None:
    data = tsp(num_points=5)
    batch = next(iter(data.val_dataloader()))
    assert data.baselines()["random_order"](batch).tolist() == [[0, 1, 2, 3, 4]] * 7


def test_the_best_tour_is_no_longer_than_those_of_the_baselines() -> None:
    data = tsp(num_val=61, batch_size=61, num_points="5-8")
    batch = next(iter(data.val_dataloader()))
    gaps = {}
    for name, baseline in data.baselines().items():
        metric = data.metric()
        metric.update(baseline(batch), batch)
        gaps[name] = metric.compute()["gap"].item()
    assert 0 < gaps["nearest_neighbour"] < gaps["random_order"]


def test_answers_that_end_are_as_long_as_they_can_be_and_one_more() -> None:
    hull, triangles = ConvexHull(**USUAL).spec, Delaunay(**USUAL).spec
    assert hull == DataSpec(Points(2), PointerSequence(9, can_judge_repeats=True, ends=True), max_length=8)
    assert triangles.output == PointerSequence(34, can_judge_repeats=True, ends=True, needs_repeats=True)  # 3 · 11 + 1


@pytest.mark.parametrize(("kind", "solve"), [(ConvexHull, convex_hull), (Delaunay, delaunay_triangles)])
def test_every_target_is_the_answer_to_the_real_points_and_then_the_end(kind: Any, solve: Any) -> None:
    source = kind(**USUAL).source("train")
    for indices in (np.arange(37), np.array([5, 5, 0])):
        batch = source[indices]
        answers = [solve(points[mask].numpy()).ravel().tolist() for points, mask in zip(*batch[:2], strict=True)]
        longest = max(map(len, answers)) + 1  # a batch is no wider than its longest answer
        for target, mask, answer in zip(batch.targets.tolist(), batch.target_mask.tolist(), answers, strict=True):
            assert target == [*answer, END, *[0] * (longest - 1 - len(answer))]
            assert mask == [place <= len(answer) for place in range(longest)]


def test_the_points_of_one_seed_are_the_same_whatever_is_asked_of_them() -> None:
    batches = [next(iter(kind(**USUAL).val_dataloader())) for kind in (TSP, ConvexHull, Delaunay)]
    for batch in batches[1:]:
        assert torch.equal(batch.inputs, batches[0].inputs)
        assert torch.equal(batch.input_mask, batches[0].input_mask)


def test_many_points_are_named_as_they_are() -> None:
    source = ConvexHull(**{**USUAL, "num_points": 300, "num_val": 5}).source("val")
    batch = source[np.arange(5)]
    assert batch.targets.max() > 127  # more than a byte holds
    assert (
        batch.targets[0].tolist()[: len(convex_hull(batch.inputs[0].numpy()))]
        == convex_hull(batch.inputs[0].numpy()).tolist()
    )


@pytest.mark.parametrize("padding", [0, 1])
def test_baselines_in_the_plane_worked_out_by_hand(padding: int) -> None:
    square = SQUARE[: 5 + padding]
    # angles of -135°, -45°, -0°, 45° and 135° as the mean (0.05, 0) sees them
    assert answered("all_by_angle", square, padding=padding) == [[0, 3, 2, 1, 4]]
    assert answered("fan", square, padding=padding) == [[2, 0, 3, 2, 3, 1, 2, 1, 4, 2, 4, 0]]
    diamond = [[0.0, 0.0], [2.0, 1.0], [1.0, 3.0], [-1.0, 2.0], [0.0, 1.0], [9.0, 9.0]][: 5 + padding]
    assert answered("extremes", diamond, padding=padding) == [[0, 1, 2, 3]]
    line = [[0.0, 0.0], [0.1, 0.0], [0.3, 0.0], [0.7, 0.0], [0.15, 0.0], [0.15, 0.0]][: 5 + padding]
    triangles = [0, 1, 4, 2, 1, 4, 3, 2, 4]
    found = answered("nearest_neighbours", line, padding=padding)[0]
    assert [sorted(found[i : i + 3]) for i in range(0, len(found), 3)] == [
        sorted(triangles[i : i + 3]) for i in range(0, len(triangles), 3)
    ]


def test_a_point_that_is_extreme_in_two_ways_is_a_corner_once() -> None:
    assert answered("extremes", [[0.0, 0.0], [1.0, 0.5], [0.5, 1.0]], [[0.0, 0.5], [1.0, 0.0], [0.9, 1.0]]) == [
        [1, 2, 0],  # 0 is the lowest and the leftmost
        [1, 2, 0],
    ]


def test_a_fan_of_three_points_is_their_triangle() -> None:
    (answer,) = answered("fan", [[0.0, 0.0], [1.0, 0.5], [0.5, 1.0]])
    assert sorted(answer) == [0, 1, 2]


@pytest.mark.parametrize("num_points", ["2-5", "9-4", 2, "ten", "5-"])
def test_a_number_of_cities_that_is_none_is_refused(num_points: int | str) -> None:
    with pytest.raises(UserError, match=rf"^data\.num_points={num_points} "):
        tsp(num_points=num_points)
    with pytest.raises(UserError, match=rf"^data\.num_points={num_points} "):
        Delaunay(**{**USUAL, "num_points": num_points})


@pytest.mark.parametrize("option", ["num_train", "num_val", "num_test"])
def test_an_empty_split_is_refused(option: str) -> None:
    with pytest.raises(UserError, match=rf"^data\.{option}=0 must be at least 1$"):
        tsp(**{option: 0})
