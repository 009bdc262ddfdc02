"""Inputs of each kind → [B, T, dim]."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from attnlab.encoders.positions import sinusoidal_positions
from attnlab.spec import Input, Points, Series, Tokens


class VectorEmbedder(nn.Module):
    """Series and points: one linear map per position."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, dim)

    def forward(self, inputs: Float[Tensor, "batch time channels"]) -> Float[Tensor, "batch time dim"]:
        return self.linear(inputs.to(self.linear.weight.dtype))  # trainer.precision=bf16-true makes weights narrower


class TokenEmbedder(nn.Module):
    """Tokens: one learned vector each. Padding (0) stays zero."""

    def __init__(self, vocab_size: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, dim, padding_idx=0)

    def forward(self, inputs: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time dim"]:
        return self.embedding(inputs)


class Positioned(nn.Module):
    """Another embedder, plus sinusoidal positions."""

    positions: Tensor

    def __init__(self, embedder: nn.Module, dim: int, max_length: int) -> None:
        super().__init__()
        self.embedder = embedder
        self.register_buffer("positions", sinusoidal_positions(max_length, dim), persistent=False)

    def forward(self, inputs: Tensor) -> Float[Tensor, "batch time dim"]:
        return self.embedder(inputs) + self.positions[: inputs.shape[1]]


def embedder_for(kind: Input, dim: int, *, max_length: int, positions: bool) -> nn.Module:
    """The embedder of an input kind; positions only where order means something."""
    embedder: nn.Module
    if isinstance(kind, Tokens):
        embedder = TokenEmbedder(kind.vocab_size, dim)
    elif isinstance(kind, Series):
        embedder = VectorEmbedder(kind.channels, dim)
    elif isinstance(kind, Points):
        embedder = VectorEmbedder(kind.dims, dim)
    return Positioned(embedder, dim, max_length) if positions and kind.ordered else embedder
