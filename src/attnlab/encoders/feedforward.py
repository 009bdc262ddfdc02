"""Attention without recurrence: every position by itself, and one weighted sum of them all."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from attnlab.attention import AttentionRecipe
from attnlab.encoders.base import Encoded, Encoder, last_state, visible
from attnlab.spec import DataSpec


class FeedforwardAttention(Encoder):
    """h_t = LReLU(W x_t + b),  c = Σ_t α_t h_t.

    Raffel & Ellis 2015, arXiv:1512.08756, eq. 1 and the first layer of their networks. `final` is c. With
    attention=feedforward it is theirs: α = softmax(e) with e_t = tanh(w · h_t + b) sees the key alone. Any other score
    needs a query, which the paper has not; here it is the mean of the h_t, so that nothing is learned that some
    score would leave untrained.

    The states handed on are h_t + c, so that a position knows itself and the whole, and a head that uses only the
    states trains the attention too. On causal data each position has a sum and a mean of its own, over h_1 … h_t, and
    `final` is the last of these sums. The order of the inputs is not seen, as in the paper.

    Args:
        hidden_dim: width of a state.
        attention: recipe of the weighted sum.
    """

    attends: ClassVar[bool] = True

    def __init__(self, input_dim: int, spec: DataSpec, *, hidden_dim: int, attention: AttentionRecipe) -> None:
        super().__init__(input_dim, spec)
        self.causal = spec.causal
        self.linear = nn.Linear(input_dim, hidden_dim)
        self.attention = attention(hidden_dim, hidden_dim, hidden_dim)
        self.output_dim = hidden_dim

    def forward(self, inputs: Tensor, mask: Tensor) -> Encoded:
        own = F.leaky_relu(self.linear(inputs))  # slope 0.01, as in the paper
        if self.causal:
            allowed, places = visible(mask, True), None
        else:  # one query for all positions, asked once all has been seen
            allowed, places = mask[:, None], (mask.sum(1, keepdim=True) - 1).clamp(min=0)
        means = (allowed.to(own.dtype) / allowed.sum(-1, keepdim=True).clamp(min=1)) @ own
        context = self.attention(
            means, own, mask=allowed, places=places, context_only=True
        ).context  # [B, T or 1, hidden_dim]
        return Encoded(own + context, mask, last_state(context, mask) if self.causal else context.squeeze(1))
