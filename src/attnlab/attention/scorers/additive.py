from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function

from attnlab.attention.scorers.base import Scorer
from attnlab.kernels import additive_scores, available

# Elements of tanh(W u + U k) alive at a time: small enough for a cache, large enough to keep the cores busy.
BLOCK_ELEMENTS = 1 << 20


class Additive(Scorer):
    """Additive ("concat") score: v · tanh(W u + U k).

    Bahdanau et al. 2015, arXiv:1409.0473, §A.1.2, there e_ij = a(s_{i-1}, h_j): our query is their decoder state,
    our keys are their annotations. U k is computed once per memory.

    The [B, H, Q, K, hidden] tensor inside the tanh never exists: it is made, used and forgotten block by block, and
    made again for the gradient. On a CPU in float32 compiled code does so pair by pair, where there is a compiler.

    Args:
        hidden_dim: width of the tanh layer (the paper's n').
    """

    fused: ClassVar[bool] = True

    def __init__(self, query_dim: int, key_dim: int, *, hidden_dim: int) -> None:
        super().__init__(query_dim, key_dim)
        self.query = nn.Linear(query_dim, hidden_dim, bias=False)
        self.key = nn.Linear(key_dim, hidden_dim)
        self.energy = nn.Parameter(torch.empty(hidden_dim).uniform_(-1, 1) * hidden_dim**-0.5)

    def project(self, keys: Tensor) -> Tensor:
        return self.key(keys)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        queries = self.query(queries)
        energy = self.energy.to(queries.dtype)
        if self.kernel == "reference":
            return additive_score_reference(queries, keys, energy)
        if queries.device.type == "cpu" and queries.dtype == keys.dtype == torch.float32 and available():
            return additive_scores(queries, keys, energy)
        scores: Tensor = _AdditiveScore.apply(queries, keys, energy)
        return scores


def additive_score_reference(
    queries: Float[Tensor, "batch heads queries hidden"],
    keys: Float[Tensor, "batch heads items hidden"],
    energy: Float[Tensor, " hidden"],
) -> Float[Tensor, "batch heads queries items"]:
    """The same by one broadcast: what the blocks are tested and benchmarked against."""
    return torch.tanh(queries[..., :, None, :] + keys[..., None, :, :]) @ energy


class _AdditiveScore(Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, energy: Tensor) -> Tensor:
        ctx.save_for_backward(queries, keys, energy)
        blocks = [
            (queries[:, :, rows, None] + keys[:, :, None]).tanh_() @ energy for rows in _row_blocks(queries, keys)
        ]
        return torch.cat(blocks, dim=2) if blocks else queries.new_zeros(*queries.shape[:3], keys.shape[2])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # With t = tanh(q + k):  ds/dv = t,  ds/dq = ds/dk = v ∘ (1 - t²).
        queries, keys, energy = ctx.saved_tensors
        # Sums over blocks in at least float32: in bfloat16 a sum of many blocks stops growing.
        wide = torch.promote_types(queries.dtype, torch.float32)
        grad_queries, grad_keys = torch.zeros_like(queries), torch.zeros_like(keys, dtype=wide)
        grad_energy = torch.zeros_like(energy, dtype=wide)
        for rows in _row_blocks(queries, keys):
            grad = grads[0][:, :, rows]  # [B, H, q, K]
            tanh = (queries[:, :, rows, None] + keys[:, :, None]).tanh_()  # [B, H, q, K, D]
            grad_energy += grad.reshape(-1) @ tanh.reshape(-1, tanh.shape[-1])
            inner = tanh.mul_(tanh).neg_().add_(1).mul_(grad[..., None])
            grad_queries[:, :, rows] = inner.sum(3)
            grad_keys += inner.sum(2)
        return grad_queries * energy, (grad_keys * energy).to(keys.dtype), grad_energy.to(energy.dtype)


def _row_blocks(queries: Tensor, keys: Tensor) -> list[slice]:
    """The queries in blocks whose tanh has about BLOCK_ELEMENTS elements."""
    num_queries = queries.shape[2]
    per_row = max(1, keys.numel())  # batch · heads · items · hidden
    size = max(1, BLOCK_ELEMENTS // per_row)
    return [slice(start, start + size) for start in range(0, num_queries, size)]
