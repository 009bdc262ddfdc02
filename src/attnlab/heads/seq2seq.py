from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnlab.attention import AttentionRecipe, Memory
from attnlab.batch import Batch
from attnlab.encoders.base import Encoded
from attnlab.heads.base import Head, masked_mean
from attnlab.spec import Output, TokenSequence


class Seq2Seq(Head):
    """A recurrent decoder that looks at the encoder's states before each step.

    Bahdanau et al. 2015, arXiv:1409.0473, §A.2.2, with a GRU cell: the previous state queries,
    c_i = attention(s_{i-1}, h), the context enters the cell, s_i = GRU([y_{i-1} ; c_i], s_{i-1}), and the readout sees
    [s_i ; y_{i-1} ; c_i]. The first state is tanh(W final) and the first y is a learned start. With attention=none
    the decoder has only that first state: Sutskever et al. 2014, arXiv:1409.3215.

    Args:
        hidden_dim: width of the decoder's state.
        attention: recipe of the look at the encoder's states.
    """

    accepts: ClassVar[tuple[type[Output], ...]] = (TokenSequence,)
    feeds_back: ClassVar[bool] = True

    def __init__(self, output: TokenSequence, state_dim: int, *, hidden_dim: int, attention: AttentionRecipe) -> None:
        super().__init__()
        self.max_length = output.max_length
        self.initial = nn.Linear(state_dim, hidden_dim)
        self.attention = attention(hidden_dim, state_dim, state_dim)
        self.embedding = nn.Embedding(output.vocab_size, hidden_dim)  # row 0, padding, serves as the start
        joined_dim = hidden_dim + self.attention.context_dim
        self.cell = nn.GRUCell(joined_dim, hidden_dim)
        self.readout = nn.Linear(hidden_dim + joined_dim, output.vocab_size)

    def forward(self, encoded: Encoded, inputs: Tensor, targets: Tensor | None) -> Tensor:
        if targets is None:
            return self.generate(encoded, inputs)
        state, memory, previous = self._start(encoded)
        logits = []
        for step in range(targets.shape[1]):
            state, step_logits = self._step(state, memory, previous)
            logits.append(step_logits)
            previous = targets[:, step]
        return torch.stack(logits, dim=1)

    def generate(self, encoded: Encoded, inputs: Tensor) -> Tensor:
        state, memory, previous = self._start(encoded)
        logits = []
        for _ in range(self.max_length):
            state, step_logits = self._step(state, memory, previous)
            logits.append(step_logits)
            previous = self.decode(step_logits)
        return torch.stack(logits, dim=1)

    def _start(self, encoded: Encoded) -> tuple[Tensor, Memory, Tensor]:
        memory = self.attention.prepare(encoded.states, mask=encoded.mask)
        start = encoded.mask.new_zeros(len(encoded.mask), dtype=torch.long)
        return torch.tanh(self.initial(encoded.final)), memory, start

    def _step(self, state: Tensor, memory: Memory, previous: Tensor) -> tuple[Tensor, Tensor]:
        context = self.attention(state[:, None], memory).context.squeeze(1)
        joined = torch.cat([self.embedding(previous), context], dim=-1)
        state = self.cell(joined, state)
        return state, self.readout(torch.cat([state, joined], dim=-1))

    def loss(self, predictions: Tensor, batch: Batch) -> Tensor:
        losses = F.cross_entropy(predictions.transpose(1, 2), batch.targets, reduction="none")
        return masked_mean(losses, batch.target_mask)

    def decode(self, predictions: Tensor) -> Tensor:
        """The likeliest token of each step; padding is never an answer."""
        return predictions[..., 1:].argmax(-1) + 1
