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
from attnlab.spec import Output, PointerSequence


class Pointer(Head):
    """The attention weights are the output: a sequence of input positions.

    Vinyals, Fortunato & Jaitly 2015, arXiv:1506.03134, eq. 3: p(C_i | C_1 … C_{i-1}, P) = normalizer(score(d_i, e_j)),
    where d_i is the state of an LSTM that is fed the encoder's state of the position chosen before. A position chosen
    once cannot be chosen again, unless repeats are allowed, as in the paper's own decoder. Training is one parallel
    pass: the LSTM runs over the known choices and all steps point at once. With several heads the mean of their scores
    points. A query stands at its step.

    Before it points, a query may glimpse: Bello et al. 2016, arXiv:1611.09940, §A.1, after the process block of Vinyals
    et al. 2016, arXiv:1511.06391. g_0 = d_i and g_l = G(e, g_{l-1}) = Σ_j p_j e_j over the items that are left; the
    last g_l points in the place of d_i. All glimpses share one attention, as they share their parameters there.

    Args:
        hidden_dim: width of the decoder's state.
        num_glimpses: glimpses before each choice; 0 points at once.
        repeats: whether a position may be chosen again: then what to leave out must be learned as well.
        attention: recipe whose weights point; only its scores are trained, it has no values. The glimpses have another
            attention of the same recipe, with values.

    Raises:
        ValueError: fewer than no glimpses, a glimpse that has not the width of the state that it replaces, or repeats
            that the data cannot judge.
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
        repeats: bool = False,
    ) -> None:
        super().__init__()
        if repeats and not output.can_judge_repeats:
            raise ValueError(
                "head.repeats=true may choose an item twice, and these data cannot judge such an answer; "
                "use head.repeats=false"
            )
        self.repeats = repeats
        if num_glimpses < 0:
            raise ValueError(f"head.num_glimpses={num_glimpses} must be at least 0")
        if num_glimpses and hidden_dim != state_dim:
            raise ValueError(
                f"head.num_glimpses={num_glimpses} puts a sum of the encoder's states in the place of the decoder's "
                f"state, so head.hidden_dim={hidden_dim} must equal their width; use head.hidden_dim={state_dim}"
            )
        self.start = nn.Parameter(torch.randn(state_dim) * state_dim**-0.5)
        self.initial = nn.Linear(state_dim, 2 * hidden_dim)
        self.decoder = nn.LSTM(state_dim, hidden_dim, batch_first=True)
        self.num_glimpses = num_glimpses
        if num_glimpses:
            self.glimpse = attention(hidden_dim, state_dim, state_dim)
        self.attention = attention(hidden_dim, state_dim, None)

    def forward(self, encoded: Encoded, inputs: Tensor, targets: Tensor | None) -> Tensor:
        if targets is None:
            return self.generate(encoded, inputs)
        chosen = _gather_states(encoded.states, targets[:, :-1])
        fed = torch.cat([self.start.expand(len(targets), 1, -1), chosen], dim=1)
        queries, _ = self.decoder(fed, self._initial_state(encoded))
        allowed = encoded.mask
        if not self.repeats:
            allowed = allowed[:, None] & ~visited_before(targets, encoded.states.shape[1])
        return self._point(queries, self._memories(encoded, allowed), 0)

    def generate(self, encoded: Encoded, inputs: Tensor) -> Tensor:
        memories = self._memories(encoded, encoded.mask)
        hidden = self._initial_state(encoded)
        fed = self.start.expand(len(inputs), 1, -1)
        steps = []
        for step in range(encoded.states.shape[1]):
            query, hidden = self.decoder(fed, hidden)
            scores = self._point(query, memories, step)  # [B, 1, K]
            choice = self.decode(scores)  # [B, 1]
            fed = _gather_states(encoded.states, choice)
            if not self.repeats:
                left = memories[-1].mask.scatter(1, choice, False)
                memories = [memory._replace(mask=left) for memory in memories]
            steps.append(scores)
        return torch.cat(steps, dim=1)

    def _memories(self, encoded: Encoded, allowed: Tensor) -> list[Memory]:
        """What is pointed at, and before it, where there are glimpses, what is glimpsed."""
        sites = [self.glimpse, self.attention] if self.num_glimpses else [self.attention]
        return [site.prepare(encoded.states, mask=allowed) for site in sites]

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
        nll = self.attention.nll(predictions, batch.targets, predictions > float("-inf"))
        return masked_mean(nll, batch.target_mask)

    def decode(self, predictions: Tensor) -> Tensor:
        return predictions.argmax(-1)


def visited_before(choices: Int[Tensor, "batch steps"], num_items: int) -> Bool[Tensor, "batch steps items"]:
    """Whether an item was chosen at an earlier step."""
    chosen = F.one_hot(choices, num_items)
    return (chosen.cumsum(1) - chosen) > 0


def _gather_states(states: Tensor, choices: Tensor) -> Tensor:
    return states.gather(1, choices[..., None].expand(-1, -1, states.shape[-1]))
