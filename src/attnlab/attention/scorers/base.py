"""The compatibility of a query with a key: one real number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn


class Scorer(nn.Module, ABC):
    """score(u, k) for every query with every key.

    Called with the widths of one head. What does not depend on the query belongs in `project`, which is
    done once per memory; `forward` receives what `project` returned.
    """

    #: Whether the score depends on what the query holds, and on what the key holds.
    uses_queries: ClassVar[bool] = True
    uses_keys: ClassVar[bool] = True
    #: Whether it has a fused form of its own.
    fused: ClassVar[bool] = False
    #: Where the score is a number times the dot product of a query with a projected key: that number.
    dot_scale: float | None = None
    #: attention.kernel: reference, fused or auto; the attention that holds the scorer sets it.
    kernel: str = "auto"

    def __init__(self, query_dim: int, key_dim: int) -> None:
        super().__init__()

    def project(self, keys: Float[Tensor, "batch heads items key_dim"]) -> Float[Tensor, "batch heads items width"]:
        return keys

    @abstractmethod
    def forward(
        self,
        queries: Float[Tensor, "batch heads queries query_dim"],
        keys: Float[Tensor, "batch heads items width"],
    ) -> Float[Tensor, "batch heads queries items"]: ...


def check_same_width(scorer: str, query_dim: int, key_dim: int) -> None:
    """For scorers that compare entry by entry."""
    if query_dim != key_dim:
        raise ValueError(
            f"{scorer} attention compares queries and keys directly, so query_dim={query_dim} must equal "
            f"key_dim={key_dim}; use attention=bilinear or attention=additive"
        )
