"""Convex hulls: the labels of a problem on points, and how polygons are judged."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics import Metric

from attnlab.batch import Batch
from attnlab.data.metrics import next_city
from attnlab.spec import END_OF_POINTERS


def convex_hull(points: Float[np.ndarray, "points 2"]) -> Int[np.ndarray, " corners"]:
    """The corners of the convex hull, counter-clockwise from the one with the lowest index.

    Vinyals et al. 2015, arXiv:1506.03134, §2.3.1. By Qhull, which names them counter-clockwise in the plane.
    """
    from scipy import spatial  # a moment to import, and needed by this dataset only

    corners = spatial.ConvexHull(points).vertices
    return np.roll(corners, -int(corners.argmin()))


class Polygons(NamedTuple):
    """Closed polygons through some of their points, of which `real` says how many corners each has."""

    points: Float[Tensor, "batch points 2"]
    corners: Int[Tensor, "batch steps"]
    real: Bool[Tensor, "batch steps"]

    @classmethod
    def of(cls, points: Tensor, answers: Int[Tensor, "batch steps"]) -> Polygons:
        """Answers up to their end, or to where nothing follows."""
        real = (answers != END_OF_POINTERS).cumprod(1).bool()
        return cls(points.double(), answers.where(real, 0), real)

    @property
    def visits(self) -> Int[Tensor, "batch points"]:
        """How often each point is a corner."""
        none = self.corners.new_zeros(self.points.shape[:2])
        return none.scatter_add(1, self.corners, self.real.long())

    @property
    def edges(self) -> tuple[Float[Tensor, "batch steps 2"], Float[Tensor, "batch steps 2"]]:
        """Where each edge begins and ends."""
        here, there = (
            self.points.gather(1, corners[..., None].expand(-1, -1, 2))
            for corners in (self.corners, next_city(self.corners, self.real))
        )
        return here, there

    @property
    def area(self) -> Float[Tensor, " batch"]:
        """By the shoelace formula, ½ |Σ x_i y_{i+1} - x_{i+1} y_i|. An area only where the polygon is simple."""
        here, there = self.edges
        return (_cross(here, there) * self.real).sum(1).abs() / 2

    @property
    def simple(self) -> Bool[Tensor, " batch"]:
        """Whether there are three corners at least, each once, and edges meet only at a corner that they share."""
        (here, there), count = self.edges, self.real.sum(1)
        low, high = torch.minimum(here, there)[:, :, None], torch.maximum(here, there)[:, :, None]
        boxes_meet = ((low <= high.transpose(1, 2)) & (low.transpose(1, 2) <= high)).all(-1)  # [B, U, U]
        # On which side of edge i the ends of edge j lie. Coordinates are float32, so this is exact.
        sides = [_cross((there - here)[:, :, None], ends[:, None] - here[:, :, None]) for ends in (here, there)]
        parted = sides[0].sign() * sides[1].sign() <= 0
        step = torch.arange(self.corners.shape[1], device=self.corners.device)
        apart = (step - step[:, None]) % count.clamp(min=1)[:, None, None]
        share_a_corner = (apart <= 1) | (apart == count[:, None, None] - 1)
        both = self.real[:, :, None] & self.real[:, None]
        meet = boxes_meet & parted & parted.mT & both & ~share_a_corner
        return (count >= 3) & (self.visits <= 1).all(1) & ~meet.any(2).any(1)


def _cross(one: Float[Tensor, "*#lead 2"], other: Float[Tensor, "*#lead 2"]) -> Tensor:
    return one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]


class PolygonQuality(Metric):
    """How well answers draw the convex hulls of their points. Vinyals et al. 2015, arXiv:1506.03134, §4.2.

    `accuracy` is the share of answers that are the hull's polygon, wherever they start and whichever way they run.
    `area_coverage` is the mean over the *valid* answers of the polygon's area / the hull's, and `invalid` the share of
    answers that are no simple polygon: fewer than three corners, one of them twice, or edges that cross. Coverage says
    little where many are invalid (the paper prints FAIL above 1 %), and it is not there where none is valid.
    """

    full_state_update = False
    right: Tensor
    coverage: Tensor
    valid: Tensor
    polygons: Tensor

    def __init__(self) -> None:
        super().__init__()
        for state in ("right", "coverage", "valid", "polygons"):
            self.add_state(state, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, batch: Batch) -> None:
        said, hulls = (Polygons.of(batch.inputs, answers) for answers in (predictions, batch.targets))
        valid = said.simple
        coverage = said.area / hulls.area
        # Through corners in convex position there is one simple polygon: their hull.
        self.right += (valid & (said.visits == hulls.visits).all(1)).sum()
        self.coverage += coverage[valid].sum()
        self.valid += valid.sum()
        self.polygons += batch.num_examples

    def compute(self) -> dict[str, Tensor]:
        covered = {"area_coverage": self.coverage / self.valid} if self.valid else {}
        return {"accuracy": self.right / self.polygons, **covered, "invalid": 1 - self.valid / self.polygons}
