from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from attnlab.attention.scorers.base import Scorer
from attnlab.kernels import available, relu_scores

# Hidden units of one layer alive at a time: small enough for a cache, large enough to keep the cores busy.
BLOCK_ELEMENTS = 1 << 18


class MLP(Scorer):
    """An arbitrary network f(k, u): one number from a key and a query, side by side.

    f = w · relu(W_L … relu(W_2 relu(W_1 [k; u] + b_1) …) + b_L). With one layer it is Bahdanau's score with another
    nonlinearity. W_1 [k; u] = A k + B u, so A k is computed once per memory.

    The [B, H, Q, K, hidden] tensors never exist: they are made, used and forgotten block by block, and made again for
    the gradient; with one layer on a CPU in float32, by compiled code, where there is a compiler.

    Args:
        hidden_dim: width of every layer.
        num_layers: number of hidden layers, at least 1.
    """

    fused: ClassVar[bool] = True

    def __init__(self, query_dim: int, key_dim: int, *, hidden_dim: int, num_layers: int = 2) -> None:
        super().__init__(query_dim, key_dim)
        if num_layers < 1:
            raise ValueError(f"mlp attention needs num_layers of at least 1, got num_layers={num_layers}")
        self.query = nn.Linear(query_dim, hidden_dim, bias=False)
        self.key = nn.Linear(key_dim, hidden_dim)
        layers: list[nn.Module] = [nn.ReLU()]
        for _ in range(num_layers - 1):
            layers += [nn.Linear(hidden_dim, hidden_dim), nn.ReLU()]
        self.rest = nn.Sequential(*layers, nn.Linear(hidden_dim, 1, bias=False))

    def project(self, keys: Tensor) -> Tensor:
        return self.key(keys)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        queries = self.query(queries)
        if self.kernel == "reference":
            return self._reference(queries, keys)
        *layers, last = (layer for layer in self.rest if isinstance(layer, nn.Linear))
        on_cpu = queries.device.type == "cpu" and queries.dtype == keys.dtype == torch.float32
        if not layers and on_cpu and available():
            return relu_scores(queries, keys, last.weight[0])
        learned = [last.weight[0], *(parameter for layer in layers for parameter in (layer.weight, layer.bias))]
        scores: Tensor = _MLPScore.apply(queries, keys, *(parameter.to(queries.dtype) for parameter in learned))
        return scores

    def _reference(self, queries: Tensor, keys: Tensor) -> Tensor:
        """The same by one broadcast: what the blocks are tested and benchmarked against."""
        pairs = queries[..., :, None, :] + keys[..., None, :, :]  # [B, H, Q, K, hidden]
        return self.rest(pairs).squeeze(-1)


class _MLPScore(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, last: Tensor, *layers: Tensor) -> Tensor:
        ctx.save_for_backward(queries, keys, last, *layers)
        scores = queries.new_empty(*queries.shape[:3], keys.shape[2])
        with torch.autocast(queries.device.type, enabled=False):
            for groups, rows in _blocks(queries, keys):
                hidden = _hidden(queries, keys, layers, groups, rows)[-1]
                flat = scores.flatten(0, 1)
                flat[groups, rows] = (hidden @ last).view_as(flat[groups, rows])
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        queries, keys, last, *layers = ctx.saved_tensors
        of_scores = gradients[0].flatten(0, 1)
        # Sums over blocks in at least float32: in bfloat16 a sum of many blocks stops growing.
        wide = torch.promote_types(queries.dtype, torch.float32)
        of_queries, of_keys = torch.zeros_like(queries).flatten(0, 1), torch.zeros_like(keys, dtype=wide).flatten(0, 1)
        of_last = torch.zeros_like(last, dtype=wide)
        of_layers = [torch.zeros_like(parameter, dtype=wide) for parameter in layers]
        for groups, rows in _blocks(queries, keys):
            hidden = _hidden(queries, keys, layers, groups, rows)
            of = of_scores[groups, rows].reshape(-1)
            of_last += of @ hidden[-1]
            of = torch.outer(of, last)
            for number in reversed(range(len(layers) // 2)):
                of = of * (hidden[number + 1] > 0)
                of_layers[2 * number] += of.mT @ hidden[number]
                of_layers[2 * number + 1] += of.sum(0)
                of = of @ layers[2 * number]
            of = (of * (hidden[0] > 0)).view(len(of_queries[groups]), -1, keys.shape[2], last.shape[0])
            of_queries[groups, rows] = of.sum(2)
            of_keys[groups] += of.sum(1)
        of_parameters = (gradient.to(queries.dtype) for gradient in (of_last, *of_layers))
        return of_queries.view_as(queries), of_keys.to(keys.dtype).view_as(keys), *of_parameters


def _blocks(queries: Tensor, keys: Tensor) -> Iterator[tuple[slice, slice]]:
    """Groups (an example's head each) and rows of queries whose pairs have about BLOCK_ELEMENTS hidden units."""
    num_groups, num_queries = queries.shape[:2].numel(), queries.shape[2]
    per_row = keys.shape[2] * keys.shape[3]
    if not per_row:
        return
    size = max(1, BLOCK_ELEMENTS // per_row)  # rows
    together = max(1, size // max(1, num_queries))  # groups
    for group in range(0, num_groups, together):
        for row in range(0, num_queries, size):
            yield slice(group, group + together), slice(row, row + size)


def _hidden(queries: Tensor, keys: Tensor, layers: Sequence[Tensor], groups: slice, rows: slice) -> list[Tensor]:
    """Each layer's units for the pairs of a block: [pairs, hidden]."""
    pairs = queries.flatten(0, 1)[groups, rows, None] + keys.flatten(0, 1)[groups, None]
    hidden = [pairs.relu_().flatten(0, 2)]
    for weight, bias in zip(layers[::2], layers[1::2], strict=True):
        hidden.append(torch.addmm(bias, hidden[-1], weight.mT).relu_())
    return hidden
