"""Dot products, in the three scalings that the literature and this project's founding code use."""

from __future__ import annotations

from torch import Tensor

from attnlab.attention.scorers.base import Scorer, check_same_width


class Dot(Scorer):
    """u·k. Luong et al. 2015, arXiv:1508.04025, eq. 8 (*dot*)."""

    dot_scale = 1.0

    def __init__(self, query_dim: int, key_dim: int) -> None:
        super().__init__(query_dim, key_dim)
        check_same_width("dot", query_dim, key_dim)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        return queries @ keys.mT


class ScaledDot(Scorer):
    """u·k / √d. Vaswani et al. 2017, arXiv:1706.03762, eq. 1; d is the width of one head."""

    def __init__(self, query_dim: int, key_dim: int) -> None:
        super().__init__(query_dim, key_dim)
        check_same_width("scaled_dot", query_dim, key_dim)
        self.scale = self.dot_scale = key_dim**-0.5

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        return (queries * self.scale) @ keys.mT


class DotMean(Scorer):
    """u·k / d: the mean, not the sum, of the elementwise product, as in the code that founded this project.

    √d flatter than ScaledDot: at d = 128 its softmax starts 11.3 times closer to uniform.
    """

    def __init__(self, query_dim: int, key_dim: int) -> None:
        super().__init__(query_dim, key_dim)
        check_same_width("dot_mean", query_dim, key_dim)
        self.scale = self.dot_scale = 1 / key_dim

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        return (queries * self.scale) @ keys.mT
