"""Additive scores without a tensor that holds the tanh of every pair, on the CPU in float32."""

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
    scores: Tensor = _AdditiveScores.apply(queries, keys, energy)
    return scores


class _AdditiveScores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, energy: Tensor) -> Tensor:
        ctx.hidden = queries.shape[-1]
        queries, keys, energy = _fill(queries), _fill(keys), _fill(energy)
        ctx.save_for_backward(queries, keys, energy)
        scores = queries.new_empty(*queries.shape[:3], keys.shape[2])
        _call(kernels().additive_scores, queries, keys, energy, scores)
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        queries, keys, energy = ctx.saved_tensors
        of_scores = gradients[0].contiguous()
        of_queries, of_keys = torch.zeros_like(queries), torch.zeros_like(keys)
        of_energy = queries.new_zeros(*queries.shape[:2], queries.shape[3])
        _call(kernels().additive_gradients, queries, keys, of_scores, of_queries, of_keys, of_energy)
        width = ctx.hidden
        return (of_queries * energy)[..., :width], (of_keys * energy)[..., :width], of_energy.sum((0, 1))[:width]


def _fill(tensor: Tensor) -> Tensor:
    """With zeros up to whole vectors: tanh 0 adds nothing."""
    missing = -tensor.shape[-1] % LANES
    return (F.pad(tensor, (0, missing)) if missing else tensor).contiguous()


def _call(function: Any, queries: Tensor, keys: Tensor, *others: Tensor) -> None:
    batch, heads, num_queries, hidden = queries.shape
    sizes = (num_queries, keys.shape[2], hidden)
    addresses = [pointer(tensor) for tensor in (queries, keys, *others)]
    parallel(function, batch * heads, WORK * batch * heads * math.prod(sizes), *sizes, *addresses)
