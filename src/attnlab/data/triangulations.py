"""Delaunay triangulations: the labels of a problem on points, and how triangulations are judged."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchmetrics import Metric

from attnlab.batch import Batch
from attnlab.spec import END_OF_POINTERS


def delaunay_triangles(points: Float[np.ndarray, "points 2"]) -> Int[np.ndarray, "triangles 3"]:
    """The triangles of the Delaunay triangulation: rising corners, in the order of their incenters.

    Vinyals et al. 2015, arXiv:1506.03134, §2.3.2: by the incenter's coordinates, lexicographically. By Qhull.
    """
    from scipy import spatial  # a moment to import, and needed by this dataset only

    triangles = np.sort(spatial.Delaunay(points).simplices, axis=1)
    centers = incenters(points[triangles])
    return triangles[np.lexsort(centers.T[::-1])]


def incenters(triangles: Float[np.ndarray, "triangles 3 2"]) -> Float[np.ndarray, "triangles 2"]:
    """The centers of the inscribed circles: the corners' mean, each weighed by the length of the side it faces."""
    corners = triangles.astype(np.float64)
    sides = np.linalg.norm(np.roll(corners, -1, axis=1) - np.roll(corners, 1, axis=1), axis=-1)
    return (corners * sides[..., None]).sum(1) / sides.sum(1, keepdims=True)


def most_triangles(num_points: int) -> int:
    """Of a triangulation of so many points: 2 n - 2 less the corners of their hull, which are three at least."""
    return 2 * num_points - 5


class TriangulationQuality(Metric):
    """How much of the Delaunay triangulation answers find. Vinyals et al. 2015, arXiv:1506.03134, §4.3.

    An answer is read three corners at a time, up to its end. `triangle_coverage` is the share of all true triangles
    that were found. `accuracy` is the share of answers that name exactly the true triangles, each once, whatever their
    order and that of their corners.
    """

    full_state_update = False
    right: Tensor
    answers: Tensor
    found: Tensor
    triangles: Tensor

    def __init__(self) -> None:
        super().__init__()
        for state in ("right", "answers", "found", "triangles"):
            self.add_state(state, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: Tensor, batch: Batch) -> None:
        said, num_said = read_triangles(predictions)
        truth, num_true = read_triangles(batch.targets)
        real = (truth != END_OF_POINTERS).all(-1)
        found = (truth[:, :, None] == said[:, None]).all(-1).any(2) & real
        self.right += ((found == real).all(1) & (num_said == num_true)).sum()
        self.answers += batch.num_examples
        self.found += found.sum()
        self.triangles += real.sum()

    def compute(self) -> dict[str, Tensor]:
        return {"accuracy": self.right / self.answers, "triangle_coverage": self.found / self.triangles}


def read_triangles(
    answers: Int[Tensor, "batch steps"],
) -> tuple[Int[Tensor, "batch triangles 3"], Int[Tensor, " batch"]]:
    """The triangles that answers name, corners rising, and how many corners they name in all.

    What is no whole triangle any more has END_OF_POINTERS among its corners.
    """
    real: Bool[Tensor, "batch steps"] = (answers != END_OF_POINTERS).cumprod(1).bool()
    corners = F.pad(answers.where(real, END_OF_POINTERS), (0, -answers.shape[1] % 3), value=END_OF_POINTERS)
    return corners.unflatten(1, (-1, 3)).sort(-1).values, real.sum(1)
