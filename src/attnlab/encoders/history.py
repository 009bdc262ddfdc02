"""A recurrent network that looks back at its own states: the idea that founded this project."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from attnlab.attention import Attention, AttentionRecipe, ScoredAttention
from attnlab.attention.normalizers import Softmax
from attnlab.attention.position import NoPosition
from attnlab.attention.scorers import Additive, Bilinear, Dot, DotMean, ScaledDot
from attnlab.attention.window import NoWindow
from attnlab.encoders.base import Encoded, Encoder, last_state
from attnlab.encoders.cells import cell_of, step
from attnlab.kernels import HistoryScore, available, history_rnn
from attnlab.spec import DataSpec


class HistoryRNN(Encoder):
    """h_t = cell([x_t ; c_t], h_{t-1}),  c_t = Σ_i p_i h_i,  p = normalizer(score(h_{t-1}, h_i)), i < t-1.

    The lookup vector is the current hidden state h_{t-1}; the memory is every state before it, h_1 … h_{t-2},
    without the current one, which the cell has anyway, and without the zero initial state, which belongs to no
    input. The context is zero while there is nothing to look back at.

    The loop over time is O(T²·dim): the arithmetic of full attention over a history. With a window of N states
    it is O(T·N·dim). Each state is projected once, when it enters the memory. On a CPU in float32, a dot, scaled_dot,
    dot_mean, bilinear or additive score with a softmax runs through all of time in compiled code, unless somebody
    watches the weights.

    Args:
        hidden_dim: width of a state.
        cell: rnn, gru or lstm.
        window: how many of the latest states of the memory may be looked at; None: all.
        join_state: whether the states handed on are [h_t ; c_t], so that the head sees what was looked up as well.
        attention: recipe of the attention over the history.

    Raises:
        ValueError: an unknown cell, or a window without a state.
    """

    attends: ClassVar[bool] = True

    def __init__(
        self,
        input_dim: int,
        spec: DataSpec,
        *,
        hidden_dim: int,
        cell: str,
        window: int | None = None,
        join_state: bool = False,
        attention: AttentionRecipe,
    ) -> None:
        super().__init__(input_dim, spec)
        if window is not None and window < 1:
            raise ValueError(
                f"encoder.window={window} leaves no state to look back at; "
                "use at least 1, or encoder.window=null for all of them"
            )
        self.attention = attention(hidden_dim, hidden_dim, hidden_dim)
        self.cell = cell_of(cell, input_dim + self.attention.context_dim, hidden_dim)
        self.cell_name = cell
        self.hidden_dim = hidden_dim
        self.window = window
        self.join_state = join_state
        self.output_dim = hidden_dim + self.attention.context_dim * join_state

    def forward(self, inputs: Tensor, mask: Tensor) -> Encoded:
        score = history_score(self.attention) if _compiled(inputs, mask) else None
        states = self._step_by_step(inputs, mask) if score is None else self._at_once(inputs, mask, score)
        return Encoded(states, mask, last_state(states, mask))

    def _at_once(self, inputs: Tensor, mask: Tensor, score: HistoryScore) -> Tensor:
        weights = (self.cell.weight_ih, self.cell.weight_hh, self.cell.bias_ih, self.cell.bias_hh)
        states, contexts = history_rnn(inputs, mask.sum(1), self.cell_name, *weights, score, self.window)
        return torch.cat([states, contexts], dim=-1) if self.join_state else states

    def _step_by_step(self, inputs: Tensor, mask: Tensor) -> Tensor:
        batch, length, _ = inputs.shape
        state = inputs.new_zeros(batch, self.hidden_dim)
        cell_state = torch.zeros_like(state)
        memory = None  # of the states before the current one
        states: list[Tensor] = []
        for t in range(length):
            if memory is None:
                context = inputs.new_zeros(batch, self.attention.context_dim)
            else:
                places = torch.full((1, 1), t - 1, device=inputs.device)
                context = self.attention(state[:, None], memory, places=places, context_only=True).context.squeeze(1)
            if t > 0:  # the current state becomes history for the next step
                place = torch.full((1,), t - 1, device=inputs.device)
                newest = self.attention.prepare(state[:, None], mask=mask[:, t - 1 : t], places=place)
                memory = newest if memory is None else memory.append(newest)
                if self.window is not None:
                    memory = memory.newest(self.window)
            state, cell_state = step(self.cell, torch.cat([inputs[:, t], context], dim=-1), state, cell_state)
            states.append(torch.cat([state, context], dim=-1) if self.join_state else state)
        return torch.stack(states, dim=1)


def history_score(attention: Attention) -> HistoryScore | None:
    """What the compiled loop needs to know of an attention; None where it cannot stand in for it, or is not to."""
    if attention.watched or type(attention) is not ScoredAttention or attention.scorer.kernel == "reference":
        return None
    scorer, normalizer = attention.scorer, attention.normalizer
    plain = type(attention.position) is NoPosition and type(attention.window) is NoWindow
    if not plain or attention.projections is not None or type(normalizer) is not Softmax:
        return None
    if type(scorer) is Additive:
        energy = scorer.energy / normalizer.temperature
        return HistoryScore(
            to_query=scorer.query.weight, to_key=scorer.key.weight, key_bias=scorer.key.bias, energy=energy
        )
    if type(scorer) not in (Dot, DotMean, ScaledDot, Bilinear) or scorer.dot_scale is None:
        return None
    scale = scorer.dot_scale / normalizer.temperature
    return HistoryScore(scale, to_key=scorer.key.weight if isinstance(scorer, Bilinear) else None)


def _compiled(inputs: Tensor, mask: Tensor) -> bool:
    """Whether the compiled loop takes these: float32 on a CPU, padded on the right."""
    if inputs.device.type != "cpu" or inputs.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return False
    return available() and bool((mask[:, 1:] <= mask[:, :-1]).all())
