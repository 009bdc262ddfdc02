"""An encoder of sets: every item by itself, and a recurrence over looks at all of them."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from attnlab.attention import AttentionRecipe
from attnlab.encoders.base import Encoded, Encoder, mean_state
from attnlab.spec import DataSpec


class ReadProcessWrite(Encoder):
    """Read: m_i = f(x_i).  Process, P times: q_t = LSTM(q*_{t-1}),  r_t = Σ_i a_{i,t} m_i,  q*_t = [q_t ; r_t].

    Vinyals, Bengio & Kudlur 2016, arXiv:1511.06391, §3.2, eqs. 3-7, where a_{·,t} = softmax_i(m_i · q_t); here it is
    any attention, whose query is q_t and whose context is r_t. "Write" is head=pointer. The states are the m_i. The
    order of the inputs is not seen: permuted inputs have permuted states and the same `final`, as long as the attention
    does not look at places.

    The LSTM has no input: its gates are W q*_{t-1} + b. q*_0 and the first cell are zero, so the first query is the
    same for all inputs. f has two layers with a ReLU between them; the paper says only that it is small. q*_P is twice
    as wide as a state, so `final` is a linear map of it. With num_steps=0 nothing is processed: `final` is the mean of
    the m_i, and the recipe of the attention is not used.

    Args:
        hidden_dim: width of the m_i and of the q_t.
        num_steps: P.
        attention: recipe of the looks at the set.

    Raises:
        ValueError: fewer than no steps; causal data, since a set has no order; or data with a question, which would ask
            in the place of `final`, so that nothing would train the steps.
    """

    attends: ClassVar[bool] = True

    def __init__(
        self, input_dim: int, spec: DataSpec, *, hidden_dim: int, num_steps: int, attention: AttentionRecipe
    ) -> None:
        super().__init__(input_dim, spec)
        if num_steps < 0:
            raise ValueError(f"encoder.num_steps={num_steps} must be at least 0")
        if spec.causal:
            raise ValueError(
                "encoder=read_process_write reads a set, which has no order, and in these data a state may depend on "
                "earlier inputs only; choose another encoder"
            )
        if spec.question is not None and num_steps:
            raise ValueError(
                f"encoder.num_steps={num_steps} processes the input into a summary, and in these data the question is "
                "asked in its place; choose another encoder, or encoder.num_steps=0"
            )
        self.read = nn.Sequential(nn.Linear(input_dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, hidden_dim))
        self.num_steps = num_steps
        self.output_dim = hidden_dim
        if num_steps:
            self.attention = attention(hidden_dim, hidden_dim, hidden_dim)
            summary_dim = hidden_dim + self.attention.context_dim
            self.gates = nn.Linear(summary_dim, 4 * hidden_dim)  # i, f, g, o, as torch orders them
            self.sum_up = nn.Linear(summary_dim, hidden_dim)

    def forward(self, inputs: Tensor, mask: Tensor) -> Encoded:
        items = self.read(inputs)
        return Encoded(items, mask, self._process(items, mask) if self.num_steps else mean_state(items, mask))

    def _process(self, items: Tensor, mask: Tensor) -> Float[Tensor, "batch state_dim"]:
        memory = self.attention.prepare(items, mask=mask)
        places = (mask.sum(1, keepdim=True) - 1).clamp(min=0)  # all items have been seen
        summary = items.new_zeros(len(items), self.gates.in_features)
        cell = items.new_zeros(len(items), self.output_dim)
        for _ in range(self.num_steps):
            entry, forget, candidate, exit_ = self.gates(summary).chunk(4, dim=-1)
            cell = forget.sigmoid() * cell + entry.sigmoid() * candidate.tanh()
            query = exit_.sigmoid() * cell.tanh()
            context = self.attention(query[:, None], memory, places=places, context_only=True).context.squeeze(1)
            summary = torch.cat([query, context], dim=-1)
        return self.sum_up(summary)
