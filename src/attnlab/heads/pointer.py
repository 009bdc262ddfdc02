from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attnlab.attention import AttentionRecipe, Memory
from attnlab.batch import Batch
from attnlab.encoders.base import Encoded
from attnlab.heads.base import Head, masked_mean
from attnlab.spec import END_OF_POINTERS, Output, PointerSequence


class Pointer(Head):
    """The attention weights are the output: a sequence of input positions.

    Vinyals, Fortunato & Jaitly 2015, arXiv:1506.03134, eq. 3: p(C_i | C_1 … C_{i-1}, P) = normalizer(score(d_i, e_j)),
    where d_i is the state of an LSTM that is fed the encoder's state of the position chosen before. A position chosen
    once cannot be chosen again, unless repeats are allowed, as in the paper's own decoder. Training is one parallel
    pass: the LSTM runs over the known choices and all steps point at once. With several heads the mean of their scores
    points. A query stands at its step.

    Where the data's answers end by themselves, one learned item stands before those of the input: the paper's ⇐. Every
    step can point at it, and what is said after it does not count. Scores are then [B, U, 1 + T], the end's first.

    Before it points, a query may glimpse: Bello et al. 2016, arXiv:1611.09940, §A.1, after the process block of Vinyals
    et al. 2016, arXiv:1511.06391. g_0 = d_i and g_l = G(e, g_{l-1}) = Σ_j p_j e_j over the items that are left; the
    last g_l points in the place of d_i. All glimpses share one attention, as they share their parameters there.

    Args:
        hidden_dim: width of the decoder's state.
        num_glimpses: glimpses before each choice; 0 points at once.
        repeats: whether a position may be chosen again: then what to leave out must be learned as well. None for what
            the data's answers do.
        attention: recipe whose weights point; only its scores are trained, it has no values. The glimpses have another
            attention of the same recipe, with values.

    Raises:
        ValueError: fewer than no glimpses, a glimpse that has not the width of the state that it replaces, repeats that
            the data cannot judge, or none where they are needed.
    """

    accepts: ClassVar[tuple[type[Output], ...]] = (PointerSequence,)
    predicts_weights: ClassVar[bool] = True
    feeds_back: ClassVar[bool] = True
    needs_aligned: ClassVar[bool] = True

    def __init__(
        self,
        output: PointerSequence,
        state_dim: int,
        *,
        hidden_dim: int,
        attention: AttentionRecipe,
        num_glimpses: int = 0,
        repeats: bool | None = None,
    ) -> None:
        super().__init__()
        if repeats and not output.can_judge_repeats:
            raise ValueError(
                "head.repeats=true may choose an item twice, and these data cannot judge such an answer; "
                "use head.repeats=false"
            )
        if repeats is False and output.needs_repeats:
            raise ValueError(
                "head.repeats=false chooses an item once at most, and the answers of these data use it several times; "
                "use head.repeats=true"
            )
        self.repeats = output.needs_repeats if repeats is None else repeats
        self.max_length = output.max_length
        if num_glimpses < 0:
            raise ValueError(f"head.num_glimpses={num_glimpses} must be at least 0")
        if num_glimpses and hidden_dim != state_dim:
            raise ValueError(
                f"head.num_glimpses={num_glimpses} puts a sum of the encoder's states in the place of the decoder's "
                f"state, so head.hidden_dim={hidden_dim} must equal their width; use head.hidden_dim={state_dim}"
            )
        self.start = nn.Parameter(torch.randn(state_dim) * state_dim**-0.5)
        self.end = nn.Parameter(torch.randn(state_dim) * state_dim**-0.5) if output.ends else None
        self.initial = nn.Linear(state_dim, 2 * hidden_dim)
        self.decoder = nn.LSTM(state_dim, hidden_dim, batch_first=True)
        self.num_glimpses = num_glimpses
        if num_glimpses:
            self.glimpse = attention(hidden_dim, state_dim, state_dim)
        self.attention = attention(hidden_dim, state_dim, None)

    def forward(self, encoded: Encoded, inputs: Tensor, targets: Tensor | None) -> Tensor:
        if targets is None:
            return self.generate(encoded, inputs)
        states, allowed = self._items(encoded)
        chosen = self._item_of(targets)
        fed = torch.cat([self.start.expand(len(targets), 1, -1), _gather_states(states, chosen[:, :-1])], dim=1)
        queries, _ = self.decoder(fed, self._initial_state(encoded))
        if not self.repeats:
            allowed = allowed[:, None] & (~visited_before(chosen, states.shape[1]) | self._is_end(states))
        return self._point(queries, self._memories(states, allowed), 0)

    def generate(self, encoded: Encoded, inputs: Tensor) -> Tensor:
        states, left = self._items(encoded)
        memories = self._memories(states, left)
        hidden = self._initial_state(encoded)
        fed = self.start.expand(len(inputs), 1, -1)
        ended = torch.zeros_like(encoded.mask[:, :1])
        steps = []
        for step in range(states.shape[1] if self.end is None else self.max_length):
            query, hidden = self.decoder(fed, hidden)
            scores = self._point(query, memories, step)  # [B, 1, K]
            steps.append(scores)
            choice = scores.argmax(-1)  # [B, 1]
            if self.end is not None:
                ended = ended | (choice == 0)
                if ended.all():
                    break
            fed = _gather_states(states, choice)
            if not self.repeats:
                left = left.scatter(1, choice, False) | self._is_end(states)
                memories = [memory._replace(mask=left) for memory in memories]
        return torch.cat(steps, dim=1)

    def _items(self, encoded: Encoded) -> tuple[Float[Tensor, "batch items width"], Bool[Tensor, "batch items"]]:
        """What can be pointed at: the input's positions, behind the end where there is one."""
        if self.end is None:
            return encoded.states, encoded.mask
        end = self.end.expand(len(encoded.states), 1, -1)
        return torch.cat([end, encoded.states], dim=1), F.pad(encoded.mask, (1, 0), value=True)

    def _item_of(self, positions: Int[Tensor, "batch steps"]) -> Int[Tensor, "batch steps"]:
        """Where the input's positions stand among the items; END_OF_POINTERS is the first."""
        return positions if self.end is None else positions - END_OF_POINTERS

    def _is_end(self, states: Tensor) -> Bool[Tensor, " items"]:
        """Which item is the end, which no choice uses up."""
        return torch.arange(states.shape[1], device=states.device) < (self.end is not None)

    def _memories(self, states: Tensor, allowed: Tensor) -> list[Memory]:
        """What is pointed at, and before it, where there are glimpses, what is glimpsed."""
        sites = [self.glimpse, self.attention] if self.num_glimpses else [self.attention]
        return [site.prepare(states, mask=allowed) for site in sites]

    def _point(self, queries: Tensor, memories: list[Memory], first_step: int) -> Float[Tensor, "batch steps items"]:
        places = torch.arange(first_step, first_step + queries.shape[1], device=queries.device)[None]
        for _ in range(self.num_glimpses):
            queries = self.glimpse(queries, memories[0], places=places, context_only=True).context
        scores = self.attention(queries, memories[-1], places=places).scores
        assert scores is not None
        return scores.mean(1)

    def _initial_state(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        hidden, cell = torch.tanh(self.initial(encoded.final))[None].chunk(2, dim=-1)
        return hidden.contiguous(), cell.contiguous()

    def loss(self, predictions: Tensor, batch: Batch) -> Tensor:
        nll = self.attention.nll(predictions, self._item_of(batch.targets), predictions > float("-inf"))
        return masked_mean(nll, batch.target_mask)

    def decode(self, predictions: Tensor) -> Tensor:
        """The positions in the order in which they were chosen; END_OF_POINTERS from the first end on."""
        choices = predictions.argmax(-1)
        if self.end is None:
            return choices
        ended = (choices == 0).cumsum(1) > 0
        return (choices + END_OF_POINTERS).masked_fill(ended, END_OF_POINTERS)


def visited_before(choices: Int[Tensor, "batch steps"], num_items: int) -> Bool[Tensor, "batch steps items"]:
    """Whether an item was chosen at an earlier step."""
    chosen = F.one_hot(choices, num_items)
    return (chosen.cumsum(1) - chosen) > 0


def _gather_states(states: Tensor, choices: Tensor) -> Tensor:
    return states.gather(1, choices[..., None].expand(-1, -1, states.shape[-1]))
