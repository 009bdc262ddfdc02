from __future__ import annotations

from torch import Tensor, nn

from attnlab.attention.scorers.base import Scorer


class Bilinear(Scorer):
    """uᵀ W k. Luong et al. 2015, arXiv:1508.04025, eq. 8 (*general*). W k is computed once per memory."""

    dot_scale = 1.0

    def __init__(self, query_dim: int, key_dim: int) -> None:
        super().__init__(query_dim, key_dim)
        self.key = nn.Linear(key_dim, query_dim, bias=False)

    def project(self, keys: Tensor) -> Tensor:
        return self.key(keys)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        return queries @ keys.mT
