"""Recurrent layers of which each looks at the whole layer below."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from attnlab.attention import Attention, AttentionRecipe
from attnlab.encoders.base import Encoded, Encoder, last_state, visible
from attnlab.encoders.cells import cell_of, step
from attnlab.encoders.recurrent import GRU, LSTM, RNN
from attnlab.spec import DataSpec

FIRST_LAYERS: dict[str, Callable[..., Encoder]] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}


class AttentiveLayer(nn.Module):
    """h_t = cell([x_t ; c_t], h_{t-1}),  c_t = Σ_i p_i x_i,  p = normalizer(score(h_{t-1}, x_i)).

    Args:
        cell: rnn, gru or lstm.
        attention: over the inputs, asked with the layer's own states.
    """

    def __init__(self, cell: str, input_dim: int, hidden_dim: int, attention: Attention) -> None:
        super().__init__()
        self.attention = attention
        self.cell = cell_of(cell, input_dim + attention.context_dim, hidden_dim)
        self.hidden_dim = hidden_dim

    def forward(
        self,
        inputs: Float[Tensor, "batch time input_dim"],
        allowed: Bool[Tensor, "batch time"] | Bool[Tensor, "batch t time"],
    ) -> Float[Tensor, "batch time hidden_dim"]:
        """`allowed` has a row for each step where the steps may not all look at the same."""
        batch, length, _ = inputs.shape
        state = inputs.new_zeros(batch, self.hidden_dim)
        cell_state = torch.zeros_like(state)
        memory = self.attention.prepare(inputs, mask=allowed)
        states: list[Tensor] = []
        for t in range(length):
            seen = memory if allowed.ndim == 2 else memory._replace(mask=allowed[:, t])
            places = torch.full((1, 1), t, device=inputs.device)
            context = self.attention(state[:, None], seen, places=places, context_only=True).context.squeeze(1)
            state, cell_state = step(self.cell, torch.cat([inputs[:, t], context], dim=-1), state, cell_state)
            states.append(state)
        return torch.stack(states, dim=1)


class StackedAttentive(Encoder):
    """h_t = cell([x_t ; c_t], h_{t-1}),  c_t = Σ_i p_i x_i,  p = normalizer(score(h_{t-1}, x_i)),  x: the layer below.

    The first layer is an ordinary recurrent one. Each layer above is the decoder of Bahdanau et al. 2015,
    arXiv:1409.0473, §3.1, applied to the layer below: its previous state asks, the states below answer, and the state
    below at the same position stands where the decoder has the previous word. The zero initial state asks for the
    first step. i runs over all real positions; on causal data over 1 … t. What does not depend on the query is
    computed once per layer.

    Args:
        hidden_dim: width of a state, in every layer.
        cell: rnn, gru or lstm, in every layer.
        num_layers: depth, with the first layer.
        attention: recipe of the attention to the layer below; each layer has its own.

    Raises:
        ValueError: an unknown cell, or a single layer, which has none below to attend to.
    """

    attends: ClassVar[bool] = True

    def __init__(
        self,
        input_dim: int,
        spec: DataSpec,
        *,
        hidden_dim: int,
        cell: str,
        num_layers: int,
        attention: AttentionRecipe,
    ) -> None:
        super().__init__(input_dim, spec)
        if num_layers < 2:
            raise ValueError(
                f"encoder.num_layers={num_layers} leaves no layer above the first that could attend; "
                "use encoder.num_layers=2 or more, or encoder=rnn, gru or lstm"
            )
        self.causal = spec.causal
        self.layers = nn.ModuleList(
            AttentiveLayer(cell, hidden_dim, hidden_dim, attention(hidden_dim, hidden_dim, hidden_dim))
            for _ in range(num_layers - 1)
        )
        self.first = FIRST_LAYERS[cell](input_dim, spec, hidden_dim=hidden_dim)
        self.output_dim = hidden_dim

    def forward(self, inputs: Tensor, mask: Tensor) -> Encoded:
        states = self.first(inputs, mask).states
        allowed = visible(mask, self.causal)
        for layer in self.layers:
            states = layer(states, allowed)
        return Encoded(states, mask, last_state(states, mask))
