"""Problems in the plane whose answer is a sequence of the input points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric

from attnlab.batch import Batch
from attnlab.data.base import Baseline, BatchSource, Split
from attnlab.data.generated import Labelled, PointProblem
from attnlab.data.metrics import TourQuality, next_city
from attnlab.data.polygons import PolygonQuality, convex_hull
from attnlab.data.tours import optimal_tour
from attnlab.data.triangulations import TriangulationQuality, delaunay_triangles, most_triangles
from attnlab.spec import END_OF_POINTERS, DataSpec, PointerSequence, Points


class TSP(PointProblem):
    """The shortest closed tour through points drawn uniformly from the unit square.

        input    (.19 .62) (.44 .79) (.78 .27) (.96 .28)
        target   0 1 3 2                                    a tour: from each to the next, and home

    The setting of Vinyals et al. 2015, arXiv:1506.03134, §2.3. Tours start at city 0 and turn to the lower-numbered of
    its two neighbours, so that each has one name. Labels are made for a batch when it is first asked for.

    Args:
        num_points: cities: a number, or a range such as 5-10, drawn uniformly.
    """

    key_metric: ClassVar[str] = "gap"
    key_mode: ClassVar[Literal["min", "max"]] = "min"
    example_spec: ClassVar[DataSpec] = DataSpec(Points(2), PointerSequence(7), max_length=7)
    draws = "tour"
    least_points = 3

    @property
    def spec(self) -> DataSpec:
        return DataSpec(Points(2), PointerSequence(self.most), max_length=self.most)

    def generate(self, split: Split, random: np.random.Generator) -> BatchSource:
        return Labelled(*self.draw(split, random), optimal_tour, self.most)

    def metric(self) -> Metric:
        return TourQuality()

    def baselines(self) -> Mapping[str, Baseline]:
        return {"nearest_neighbour": nearest_neighbour_tours, "random_order": _input_order}


class ConvexHull(PointProblem):
    """The corners of the convex hull of points drawn uniformly from the unit square.

        input    (.19 .62) (.44 .79) (.78 .27) (.60 .45) (.96 .28)
        target   0 2 4 1 ⇐                                  a polygon: from each to the next, and home

    The setting of Vinyals et al. 2015, arXiv:1506.03134, §2.3.1 and §4.2: counter-clockwise from the corner with the
    lowest index, as many corners as there are. The end alone says that the polygon is closed; in the paper's Figure 2
    its first corner comes again before it. Labels are Qhull's, made for a batch when it is first asked for.

    Args:
        num_points: a number, or a range such as 5-50, drawn uniformly.
    """

    key_metric: ClassVar[str] = "accuracy"
    key_mode: ClassVar[Literal["min", "max"]] = "max"
    example_spec: ClassVar[DataSpec] = DataSpec(
        Points(2), PointerSequence(8, can_judge_repeats=True, ends=True), max_length=7
    )
    draws = "hull"
    least_points = 3

    @property
    def spec(self) -> DataSpec:
        output = PointerSequence(self.most + 1, can_judge_repeats=True, ends=True)
        return DataSpec(Points(2), output, max_length=self.most)

    def generate(self, split: Split, random: np.random.Generator) -> BatchSource:
        return Labelled(*self.draw(split, random), convex_hull, self.most, ends=True)

    def metric(self) -> Metric:
        return PolygonQuality()

    def baselines(self) -> Mapping[str, Baseline]:
        return {"all_by_angle": all_by_angle, "extremes": extremes}


class Delaunay(PointProblem):
    """The triangles of the Delaunay triangulation of points drawn uniformly from the unit square.

        input    (.19 .62) (.44 .79) (.78 .27) (.60 .45) (.96 .28)
        target   0 1 3  0 2 3  1 3 4  2 3 4 ⇐              three corners each

    The setting of Vinyals et al. 2015, arXiv:1506.03134, §2.3.2 and §4.3: each triangle's corners rise, and triangles
    stand in the lexicographic order of their incenters. No circle through the corners of a triangle has a point within.
    Labels are Qhull's, made for a batch when it is first asked for.

    Args:
        num_points: a number, or a range such as 5-50, drawn uniformly.
    """

    key_metric: ClassVar[str] = "accuracy"
    key_mode: ClassVar[Literal["min", "max"]] = "max"
    example_spec: ClassVar[DataSpec] = DataSpec(
        Points(2),
        PointerSequence(3 * most_triangles(7) + 1, can_judge_repeats=True, ends=True, needs_repeats=True),
        max_length=7,
    )
    draws = "triangulation"
    least_points = 3

    @property
    def spec(self) -> DataSpec:
        longest = 3 * most_triangles(self.most) + 1
        output = PointerSequence(longest, can_judge_repeats=True, ends=True, needs_repeats=True)
        return DataSpec(Points(2), output, max_length=self.most)

    def generate(self, split: Split, random: np.random.Generator) -> BatchSource:
        longest = 3 * most_triangles(self.most)
        return Labelled(*self.draw(split, random), delaunay_triangles, longest, ends=True)

    def metric(self) -> Metric:
        return TriangulationQuality()

    def baselines(self) -> Mapping[str, Baseline]:
        return {"fan": fan, "nearest_neighbours": nearest_neighbour_triangles}


def nearest_neighbour_tours(batch: Batch) -> Tensor:
    """From city 0, always on to the nearest city not yet seen."""
    points, mask = batch.inputs, batch.input_mask
    rows = torch.arange(len(points), device=points.device)
    unseen = mask.clone()
    current = torch.zeros_like(rows)
    tour = [current]
    for _ in range(points.shape[1] - 1):
        unseen[rows, current] = False
        distance = (points - points[rows, current, None]).norm(dim=-1)
        current = distance.masked_fill(~unseen, float("inf")).argmin(1)
        tour.append(current)
    return torch.stack(tour, dim=1)


def _input_order(batch: Batch) -> Tensor:
    """The cities as they come, which is at random."""
    return torch.arange(batch.inputs.shape[1], device=batch.inputs.device).expand(batch.num_examples, -1)


def all_by_angle(batch: Batch) -> Tensor:
    """A polygon through all points, by their angle as their mean sees them: simple, and never too large."""
    order, count = _around(batch, batch.inputs.sum(1, keepdim=True) / batch.input_mask.sum(1)[:, None, None])
    return _ended(order, count)


def extremes(batch: Batch) -> Tensor:
    """The lowest, rightmost, highest and leftmost points, counter-clockwise; one that is two of these stands once."""
    hidden = ~batch.input_mask[..., None]
    lowest, highest = (batch.inputs.masked_fill(hidden, bound) for bound in (torch.inf, -torch.inf))
    (left, low), (right, high) = lowest.argmin(1).T, highest.argmax(1).T
    found = torch.stack([low, right, high, left], dim=1)
    new = found != found.roll(1, dims=1)  # a point that is two of these is so for two neighbours of this circle
    return _ended(found.gather(1, (~new).long().argsort(dim=1, stable=True)), new.sum(1))


def fan(batch: Batch) -> Tensor:
    """Triangles from the point nearest the mean to all others, two neighbours by angle at a time, all around."""
    points, mask = batch.inputs, batch.input_mask
    mean = points.sum(1, keepdim=True) / mask.sum(1)[:, None, None]
    hub = (points - mean).norm(dim=-1).masked_fill(~mask, torch.inf).argmin(1, keepdim=True)  # [B, 1]
    center = points.gather(1, hub[..., None].expand(-1, -1, 2))
    rim, count = _around(batch._replace(input_mask=mask.scatter(1, hub, False)), center)
    following = next_city(rim, torch.arange(rim.shape[1], device=rim.device) < count[:, None])
    triangles = torch.stack([hub.expand_as(rim), rim, following], dim=2)
    return _ended(triangles.flatten(1), 3 * count.where(count > 2, 1))  # around the hub of two others, both are one


def nearest_neighbour_triangles(batch: Batch) -> Tensor:
    """Each point with its two nearest; a triangle that two points name stands once."""
    points, mask = batch.inputs, batch.input_mask
    distance = torch.cdist(points, points).masked_fill(~mask[:, None], torch.inf)
    triangles = distance.topk(3, largest=False).indices.sort(-1).values  # itself among them, at distance 0
    same = (triangles[:, :, None] == triangles[:, None]).all(-1)
    new = ~same.tril(-1).any(2) & mask
    first = (~new).long().argsort(dim=1, stable=True)[..., None].expand(-1, -1, 3)
    return _ended(triangles.gather(1, first).flatten(1), 3 * new.sum(1))


def _around(batch: Batch, center: Float[Tensor, "batch 1 2"]) -> tuple[Tensor, Tensor]:
    """The real points by their angle as a center sees them, counter-clockwise, and how many there are."""
    x, y = (batch.inputs - center).unbind(-1)
    return torch.atan2(y, x).masked_fill(~batch.input_mask, torch.inf).argsort(1), batch.input_mask.sum(1)


def _ended(answers: Int[Tensor, "batch steps"], lengths: Int[Tensor, " batch"]) -> Int[Tensor, "batch longer"]:
    """Answers that end after so many positions."""
    step = torch.arange(answers.shape[1] + 1, device=answers.device)
    return F.pad(answers, (0, 1)).masked_fill(step >= lengths[:, None], END_OF_POINTERS)
