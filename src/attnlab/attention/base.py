"""Attention makes one vector out of many: c = Σ p_i v_i, where p = normalizer(score(u, k_i))."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class Memory(NamedTuple):
    """Key-value pairs, projected once and queried often.

    The mask is True where an item may be attended to; it has a row per query where that differs. `places` says where on
    their common axis the items stand.
    """

    keys: Float[Tensor, "batch heads items key_dim"]
    values: Float[Tensor, "batch heads items value_dim"] | None
    mask: Bool[Tensor, "batch items"] | Bool[Tensor, "batch queries items"]
    places: Int[Tensor, " items"]

    def append(self, newer: Memory) -> Memory:
        """This memory with the items of a newer one behind its own."""
        keys = torch.cat([self.keys, newer.keys], dim=2)
        if self.values is None or newer.values is None:
            values = None
        elif self.values is self.keys and newer.values is newer.keys:
            values = keys  # one copy serves both where nothing was projected
        else:
            values = torch.cat([self.values, newer.values], dim=2)
        mask = torch.cat([self.mask, newer.mask], dim=-1)
        return Memory(keys, values, mask, torch.cat([self.places, newer.places]))

    def newest(self, count: int) -> Memory:
        """The last `count` items alone."""
        keys = self.keys[:, :, -count:]
        values = self.values
        if values is not None:
            values = keys if values is self.keys else values[:, :, -count:]
        return Memory(keys, values, self.mask[..., -count:], self.places[-count:])


class Attended(NamedTuple):
    """What queries got from a memory: [B, Q, context_dim], and [B, H, Q, K] twice.

    Weights and scores may be missing where nothing but the context was asked for.
    """

    context: Float[Tensor, "batch queries context_dim"]
    weights: Float[Tensor, "batch heads queries items"] | None
    scores: Float[Tensor, "batch heads queries items"] | None  # -inf where masked


class Attention(nn.Module, ABC):
    """Queries look at a memory.

    A query that may attend to nothing gets zero weights and a zero context, never NaN.

    Args:
        query_dim, key_dim: widths of what is compared.
        value_dim: width of what is summed; None where only the weights are asked for, and then the
            context has width 0.
        projected: whether queries, keys and values first pass through learned maps, as in
            Vaswani et al. 2017, §3.2.2. Transformers ask for it.
    """

    #: Width of the context; 0 where there is none.
    context_dim: int
    #: Whether anything is attended to at all (False only for `none`).
    attends: ClassVar[bool] = True
    #: Whether the weights depend on what queries and keys hold.
    uses_content: ClassVar[bool] = True

    @property
    def uses_queries(self) -> bool:
        """Whether anything depends on what the queries hold, so that a site need not learn to make them in vain."""
        return self.uses_content

    @abstractmethod
    def prepare(
        self,
        keys: Float[Tensor, "batch items key_dim"],
        values: Float[Tensor, "batch items value_dim"] | None = None,
        mask: Bool[Tensor, "batch items"] | Bool[Tensor, "batch queries items"] | None = None,
        places: Int[Tensor, " items"] | None = None,
    ) -> Memory:
        """Do once per memory what does not depend on the query. Values default to the keys, places to 0, 1, 2 …"""

    @abstractmethod
    def attend(
        self,
        queries: Float[Tensor, "batch queries query_dim"],
        memory: Memory,
        places: Int[Tensor, "rows queries"] | None = None,
    ) -> Attended:
        """Look at a prepared memory.

        Args:
            places: where the queries stand on the items' axis, one row for all examples or one for each;
                by default 0, 1, 2 …
        """

    def fused_context(
        self,
        queries: Float[Tensor, "batch queries query_dim"],
        memory: Memory,
        places: Int[Tensor, "rows queries"] | None = None,
    ) -> Float[Tensor, "batch queries context_dim"] | None:
        """The context of `attend` by code that never holds the weights; None where there is no such code."""
        return None

    @property
    def watched(self) -> bool:
        """Whether somebody looks at the weights or stands in for the call, so that no step may be left out."""
        hooks = self._forward_hooks or self._forward_pre_hooks
        return bool(hooks or vars(self).keys() & {"attend", "forward"})

    def forward(
        self,
        queries: Float[Tensor, "batch queries query_dim"],
        keys: Float[Tensor, "batch items key_dim"] | Memory,
        values: Float[Tensor, "batch items value_dim"] | None = None,
        mask: Bool[Tensor, "batch items"] | Bool[Tensor, "batch queries items"] | None = None,
        places: Int[Tensor, "rows queries"] | None = None,
        *,
        context_only: bool = False,
    ) -> Attended:
        """The call everybody knows. A loop prepares once and passes the Memory in place of the keys.

        Args:
            context_only: whether weights and scores are of no use to the caller. Then the fused code is taken where
                there is some; while the attention is watched, everything is made all the same.
        """
        memory = keys if isinstance(keys, Memory) else self.prepare(keys, values, mask)
        if context_only and not self.watched:
            context = self.fused_context(queries, memory, places)
            if context is not None:
                return Attended(context, None, None)
        return self.attend(queries, memory, places)

    def nll(
        self, scores: Float[Tensor, "*lead items"], target: Tensor, allowed: Bool[Tensor, "*lead items"]
    ) -> Float[Tensor, "*lead"]:
        """The loss that trains these weights to point at `target`. Only pointer heads ask for it."""
        raise NotImplementedError(f"{type(self).__name__} has no weights that could be trained to point")


@runtime_checkable  # so that annotations can be checked while tests run
class AttentionRecipe(Protocol):
    """What ${attention} is once Hydra has instantiated it: an attention minus its dims."""

    def __call__(
        self, query_dim: int, key_dim: int, value_dim: int | None, *, projected: bool = False
    ) -> Attention: ...


def item_mask(mask: Tensor) -> Bool[Tensor, "batch 1 queries items"]:
    """The mask of a memory, broadcast over heads (and over queries, where it has no row for each)."""
    return mask[:, None, None, :] if mask.ndim == 2 else mask[:, None]


def places_of(items: Tensor, places: Tensor | None) -> Int[Tensor, " items"]:
    """The places of [B, N, D] items: as given, or in order."""
    return torch.arange(items.shape[1], device=items.device) if places is None else places
