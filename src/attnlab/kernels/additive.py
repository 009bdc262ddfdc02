"""Scores of sums of query and key without a tensor of all pairs, on the CPU in float32."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnlab.kernels.build import kernels, parallel, pointer

LANES = 16  # as in vector.h
WORK = 20  # operations for each entry of a pair, about


def additive_scores(
    queries: Float[Tensor, "batch heads queries hidden"],
    keys: Float[Tensor, "batch heads items hidden"],
    energy: Float[Tensor, " hidden"],
) -> Float[Tensor, "batch heads queries items"]:
    """energy · tanh(query + key) for every pair, and its gradient by the same pass over the pairs."""
    scores: Tensor = _Scores.apply(queries, keys, energy, "additive")
    return scores


def relu_scores(
    queries: Float[Tensor, "batch heads queries hidden"],
    keys: Float[Tensor, "batch heads items hidden"],
    energy: Float[Tensor, " hidden"],
) -> Float[Tensor, "batch heads queries items"]:
    """energy · relu(query + key) for every pair."""
    scores: Tensor = _Scores.apply(queries, keys, energy, "relu")
    return scores


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, energy: Tensor, kind: str) -> Tensor:
        ctx.hidden, ctx.kind = queries.shape[-1], kind
        queries, keys, energy = _fill(queries), _fill(keys), _fill(energy)
        ctx.save_for_backward(queries, keys, energy)
        scores = queries.new_empty(*queries.shape[:3], keys.shape[2])
        _call(f"{kind}_scores", queries, keys, energy, scores)
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        queries, keys, energy = ctx.saved_tensors
        of_scores = gradients[0].contiguous()
        of_queries, of_keys = torch.zeros_like(queries), torch.zeros_like(keys)
        of_energy = queries.new_zeros(*queries.shape[:2], queries.shape[3])
        _call(f"{ctx.kind}_gradients", queries, keys, of_scores, of_queries, of_keys, of_energy)
        width = ctx.hidden
        of_queries, of_keys = (of_queries * energy)[..., :width], (of_keys * energy)[..., :width]
        return of_queries, of_keys, of_energy.sum((0, 1))[:width], None


def _fill(tensor: Tensor) -> Tensor:
    """With zeros up to whole vectors: tanh 0 and relu 0 add nothing."""
    missing = -tensor.shape[-1] % LANES
    return (F.pad(tensor, (0, missing)) if missing else tensor).contiguous()


def _call(name: str, queries: Tensor, keys: Tensor, *others: Tensor) -> None:
    batch, heads, num_queries, hidden = queries.shape
    sizes = (num_queries, keys.shape[2], hidden)
    addresses = [pointer(tensor) for tensor in (queries, keys, *others)]
    parallel(getattr(kernels(), name), batch * heads, WORK * batch * heads * math.prod(sizes), *sizes, *addresses)
