"""Several heads: W^Q, W^K, W^V, W^O, and the reshaping between [B, T, H·D] and [B, H, T, D]."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


def split_heads(
    vectors: Float[Tensor, "batch items width"], num_heads: int
) -> Float[Tensor, "batch heads items head_dim"]:
    batch, items, width = vectors.shape
    return vectors.view(batch, items, num_heads, width // num_heads).transpose(1, 2)


def merge_heads(heads: Float[Tensor, "batch heads items head_dim"]) -> Float[Tensor, "batch items width"]:
    return heads.transpose(1, 2).flatten(2)


class Projections(nn.Module):
    """The four maps of Vaswani et al. 2017, §3.2.2, without biases.

    `content=False` leaves W^Q and W^K out, for weights that depend on positions alone: nothing would
    train them. Without values there is neither W^V nor W^O.
    """

    def __init__(
        self, query_dim: int, key_dim: int, value_dim: int | None, num_heads: int, *, content: bool = True
    ) -> None:
        super().__init__()
        for name, width in {"key_dim": key_dim, "value_dim": value_dim}.items():
            if width is not None and (num_heads < 1 or width % num_heads):
                divisors = ", ".join(str(n) for n in range(1, width + 1) if width % n == 0)
                raise ValueError(f"num_heads={num_heads} cannot divide {name}={width}; use one of {divisors}")
        if content:
            self.query = nn.Linear(query_dim, key_dim, bias=False)
            self.key = nn.Linear(key_dim, key_dim, bias=False)
        if value_dim is not None:
            self.value = nn.Linear(value_dim, value_dim, bias=False)
            self.output = nn.Linear(value_dim, value_dim, bias=False)
