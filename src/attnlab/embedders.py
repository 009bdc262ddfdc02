"""Inputs of each kind → [B, T, dim]."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from attnlab.spec import Input, Points, Sentences, Series, Tokens


class VectorEmbedder(nn.Module):
    """Series and points: one linear map per position."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, dim)

    def forward(self, inputs: Float[Tensor, "batch time channels"]) -> Float[Tensor, "batch time dim"]:
        return self.linear(inputs.to(self.linear.weight.dtype))  # trainer.precision=bf16-true makes weights narrower


class VariableEmbedder(nn.Module):
    """A whole series in each place: one linear map of a variable's window, the same for all variables.

    Liu et al. 2024, arXiv:2310.06625, §3.1: h_n = Embedding(X_{:,n}).
    """

    def __init__(self, length: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(length, dim)

    def forward(self, inputs: Float[Tensor, "batch time variables"]) -> Float[Tensor, "batch variables dim"]:
        return self.linear(inputs.transpose(1, 2).to(self.linear.weight.dtype))


class TokenEmbedder(nn.Module):
    """Tokens: one learned vector each. Padding (0) stays zero."""

    def __init__(self, vocab_size: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, dim, padding_idx=0)

    def forward(self, inputs: Int[Tensor, "batch time"]) -> Float[Tensor, "batch time dim"]:
        return self.embedding(inputs)


class SentenceEmbedder(nn.Module):
    """Sentences: s = Σ_i f_i ∘ e_i, a learned multiplicative mask f over the places of a sentence's words.

    Henaff et al. 2017, arXiv:1612.03969, eq. 1. The mask starts at 1, a bag of words, and embeddings at N(0, 0.1).

    Args:
        embedding: the words' vectors, shared between stories and questions.
    """

    def __init__(self, embedding: nn.Embedding, max_words: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.mask = nn.Parameter(torch.ones(max_words, embedding.embedding_dim))

    def forward(self, inputs: Int[Tensor, "*lead words"]) -> Float[Tensor, "*lead dim"]:
        return (self.embedding(inputs) * self.mask[: inputs.shape[-1]]).sum(-2)


def question_embedder_for(kind: Input, embedder: nn.Module) -> nn.Module:
    """The embedder of the questions that come with stories: the same words, with a mask of its own."""
    assert isinstance(kind, Sentences), "only stories come with questions"
    assert isinstance(embedder, SentenceEmbedder)
    return SentenceEmbedder(embedder.embedding, kind.max_words)


def embedder_for(kind: Input, dim: int) -> nn.Module:
    """The embedder of an input kind."""
    if isinstance(kind, Tokens):
        return TokenEmbedder(kind.vocab_size, dim)
    if isinstance(kind, Sentences):
        embedding = nn.Embedding(kind.vocab_size, dim, padding_idx=0)
        nn.init.normal_(embedding.weight, std=0.1)
        with torch.no_grad():
            embedding.weight[0] = 0
        return SentenceEmbedder(embedding, kind.max_words)
    if isinstance(kind, Series):
        return VectorEmbedder(kind.channels, dim)
    assert isinstance(kind, Points)
    return VectorEmbedder(kind.dims, dim)
