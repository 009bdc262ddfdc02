"""An LSTM that keeps every state and reads its previous one from them by attention."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from attnlab.attention import AttentionRecipe
from attnlab.encoders.base import Encoded, Encoder, last_state
from attnlab.spec import DataSpec


class LSTMN(Encoder):
    """The long short-term memory-network. Cheng, Dong & Lapata 2016, arXiv:1601.06733, §3.1, eqs. 4-9.

        a_i = v · tanh(W_h h_i + W_x x_t + W_h̃ h̃_{t-1}),  s = softmax(a),  i = 1 … t-1      (4, 5)
        [h̃_t ; c̃_t] = Σ_i s_i [h_i ; c_i]                                                   (6)
        [i_t ; f_t ; o_t ; ĉ_t] = [σ ; σ ; σ ; tanh] W [h̃_t ; x_t]                          (7)
        c_t = f_t ∘ c̃_t + i_t ∘ ĉ_t,  h_t = o_t ∘ tanh(c_t)                                 (8, 9)

    So it is an LSTM whose previous hidden and cell state are two summaries of all earlier ones, `summary` and
    `cell_summary` here. Both are zero at the first step, which has nothing to look back at. The gates have biases, as
    in the authors' code.

    The query is W [x_t ; h̃_{t-1}], brought to the width of the keys h_i by one learned map without a bias, so that
    every score can compare them. With attention=additive that is eq. 4: its W_x and W_h̃ are the scorer's own matrix
    times the two halves of W. An attention that does not look at its queries needs no such map and gets none.

    Args:
        hidden_dim: width of a hidden and of a cell state.
        attention: recipe of the attention over the earlier states: keys h_i, values [h_i ; c_i].
    """

    attends: ClassVar[bool] = True

    def __init__(self, input_dim: int, spec: DataSpec, *, hidden_dim: int, attention: AttentionRecipe) -> None:
        super().__init__(input_dim, spec)
        self.attention = attention(hidden_dim, hidden_dim, 2 * hidden_dim)
        self.query = nn.Linear(input_dim + hidden_dim, hidden_dim, bias=False) if self.attention.uses_queries else None
        self.cell = nn.LSTMCell(input_dim, hidden_dim)
        self.output_dim = hidden_dim

    def forward(self, inputs: Tensor, mask: Tensor) -> Encoded:
        batch, length, _ = inputs.shape
        summary = inputs.new_zeros(batch, self.output_dim)
        cell_summary = torch.zeros_like(summary)
        memory = None
        states: list[Tensor] = []
        for t in range(length):
            if memory is not None:
                query = summary if self.query is None else self.query(torch.cat([inputs[:, t], summary], dim=-1))
                places = torch.full((1, 1), t, device=inputs.device)
                context = self.attention(query[:, None], memory, places=places, context_only=True).context.squeeze(1)
                summary, cell_summary = context.chunk(2, dim=-1)
            state, cell_state = self.cell(inputs[:, t], (summary, cell_summary))
            states.append(state)
            if t + 1 < length:  # the last state is no history of anything
                place = torch.full((1,), t, device=inputs.device)
                values = torch.cat([state, cell_state], dim=-1)
                newest = self.attention.prepare(state[:, None], values[:, None], mask[:, t : t + 1], place)
                memory = newest if memory is None else memory.append(newest)
        stacked = torch.stack(states, dim=1)
        return Encoded(stacked, mask, last_state(stacked, mask))
