"""Score, normalise, sum: three free choices."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from attnlab.attention.base import Attended, Attention, Memory, item_mask, places_of
from attnlab.attention.heads import Projections, merge_heads, split_heads
from attnlab.attention.normalizers import Softmax
from attnlab.attention.normalizers.base import Normalizer
from attnlab.attention.position import NoPosition, Position
from attnlab.attention.scorers.base import Scorer
from attnlab.attention.window import NoWindow, Window

KERNELS = ("reference", "fused", "auto")


class ScoredAttention(Attention):
    """c = Σ p_i v_i with p = normalizer(scorer(u, k)), on any number of heads.

    With one head and projected=False nothing is learned but the scorer: the context is the weighted sum
    of the values themselves, as in Bahdanau et al. 2015. Several heads (or projected=True) are
    Vaswani et al. 2017, arXiv:1706.03762, §3.2.2: head_h = attention(u W_h^Q, k W_h^K, v W_h^V), and the
    heads' contexts, side by side, pass through W^O. All heads share the scorer's own parameters; what
    sets them apart is their projections. The projections have no bias: a softmax of dots cannot see W^K's.
    A scorer that does not look at queries (or keys) has no W^Q (or W^K), which nothing would train.

    Places enter by the position, which changes queries and keys before they are scored or adds to the score. The window
    narrows what the mask allows, and may multiply the weights once they are normalised.

    Args:
        scorer: recipe of the score; called with the widths of one head.
        normalizer: recipe of scores → weights.
        position: recipe of how places enter; called with the widths of one head and the number of heads.
        window: recipe of which items a query may look at; called with query_dim.
        num_heads: must divide key_dim and value_dim.
        kernel: which code makes the scores and contexts, all of it with the same results up to rounding. reference: the
            equations, one after the other; fused: without tensors of all pairs; auto: fused where there is such code.

    Raises:
        ValueError: num_heads does not divide a width, or the scorer cannot compare the two widths, or the position
            cannot turn one of them, or an unknown kernel, or there is no fused one.
    """

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        value_dim: int | None,
        *,
        scorer: Callable[[int, int], Scorer],
        normalizer: Callable[[], Normalizer],
        position: Callable[[int, int, int], Position] = NoPosition,
        window: Callable[[int], Window] = NoWindow,
        num_heads: int = 1,
        kernel: str = "auto",
        projected: bool = False,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.projections = (
            Projections(query_dim, key_dim, value_dim, num_heads) if projected or num_heads != 1 else None
        )
        self.normalizer = normalizer()
        self.window = window(query_dim)
        self.has_values = value_dim is not None
        self.context_dim = value_dim or 0
        if self.projections is None:
            self.scorer = scorer(query_dim, key_dim)
        else:  # queries are brought to the keys' width, so that any scorer can compare them
            width = key_dim // num_heads
            self.scorer = scorer(width, width)
            if self.scorer.uses_queries:
                query_dim = width
            else:
                del self.projections.query
            if self.scorer.uses_keys:
                key_dim = width
            else:
                del self.projections.key
        self.position = position(query_dim, key_dim, num_heads)
        self._choose(kernel)

    def _choose(self, kernel: str) -> None:
        if kernel not in KERNELS:
            raise ValueError(f"attention.kernel={kernel} is not known; choose one of {', '.join(KERNELS)}")
        softmax_of_dots = self.scorer.dot_scale is not None and type(self.normalizer) is Softmax
        if kernel == "fused" and not (self.scorer.fused or softmax_of_dots):
            raise ValueError(
                f"attention.kernel=fused: there is no fused code for {type(self.scorer).__name__} with "
                f"{type(self.normalizer).__name__}; use attention.kernel=auto"
            )
        self.kernel = self.scorer.kernel = kernel

    @property
    def uses_queries(self) -> bool:
        return self.scorer.uses_queries or self.position.uses_queries or self.window.uses_queries

    def prepare(
        self, keys: Tensor, values: Tensor | None = None, mask: Tensor | None = None, places: Tensor | None = None
    ) -> Memory:
        places = places_of(keys, places)
        if mask is None:
            mask = keys.new_ones(keys.shape[:2], dtype=torch.bool)
        heads = self._heads(keys, "key")
        scored = self.scorer.project(self.position.rotate(heads, places[None]))  # [B, H, K, width]
        if not self.has_values:
            return Memory(scored, None, mask, places)
        if self.projections is None and scored is heads and (values is None or values is keys):
            return Memory(heads, heads, mask, places)  # one copy serves both
        return Memory(scored, self._heads(keys if values is None else values, "value"), mask, places)

    def attend(self, queries: Tensor, memory: Memory, places: Tensor | None = None) -> Attended:
        batch, num_queries, _ = queries.shape
        places = places_of(queries, None)[None] if places is None else places
        allowed = item_mask(memory.mask).expand(batch, 1, num_queries, memory.keys.shape[2])
        allowed, factor = self.window(queries, places, memory.places, allowed)
        heads = self.position.rotate(self._heads(queries, "query"), places)
        scores = self.scorer(heads, memory.keys)  # [B, H, Q, K]
        bias = self.position.bias(heads, places[:, :, None] - memory.places)
        if bias is not None:
            scores = scores + bias
        weights = self.normalizer(scores, allowed.expand_as(scores))
        if factor is not None:
            weights = weights * factor
        scores = scores.masked_fill(~allowed, float("-inf"))
        if memory.values is None:
            return Attended(queries.new_zeros(batch, num_queries, 0), weights, scores)
        context = merge_heads(weights @ memory.values)
        if self.projections is not None:
            context = self.projections.output(context)
        return Attended(context, weights, scores)

    def fused_context(self, queries: Tensor, memory: Memory, places: Tensor | None = None) -> Tensor | None:
        """By torch's scaled_dot_product_attention, where the weights are a softmax of dot products."""
        scale = self.scorer.dot_scale
        if type(self).attend is not ScoredAttention.attend or self.kernel == "reference":
            return None
        if memory.values is None or scale is None or type(self.normalizer) is not Softmax:
            return None
        places = places_of(queries, None)[None] if places is None else places
        allowed = item_mask(memory.mask)
        if type(self.window) is not NoWindow:
            allowed = allowed.expand(len(queries), 1, queries.shape[1], memory.keys.shape[2])
            allowed, factor = self.window(queries, places, memory.places, allowed)
            if factor is not None:
                return None
        heads = self.position.rotate(self._heads(queries, "query"), places)
        bias = self.position.bias(heads, places[:, :, None] - memory.places)
        temperature = self.normalizer.temperature
        sees = allowed.any(-1, keepdim=True)
        mask = (
            allowed | ~sees
        )  # a softmax over nothing is NaN: such a row looks at everything, and becomes 0 afterwards
        if bias is not None:
            if bias.requires_grad:
                return None
            mask = (bias / temperature).masked_fill(~mask, float("-inf"))
        context = scaled_dot_product_attention(
            heads, memory.keys, memory.values, attn_mask=mask, scale=scale / temperature
        )
        context = merge_heads(context * sees)
        return context if self.projections is None else self.projections.output(context)

    def _heads(
        self, vectors: Float[Tensor, "batch items width"], name: str
    ) -> Float[Tensor, "batch heads items head_dim"]:
        """Each head's part of the projected vectors; where they have no projection, the same whole vectors for all."""
        projection: nn.Linear | None = getattr(self.projections, name, None)
        if projection is None:
            return vectors[:, None].expand(-1, self.num_heads, -1, -1)
        return split_heads(projection(vectors), self.num_heads)

    def nll(self, scores: Tensor, target: Tensor, allowed: Tensor) -> Tensor:
        return self.normalizer.loss(scores, target, allowed)
