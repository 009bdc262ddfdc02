from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from attnlab.attention import AttentionRecipe
from attnlab.batch import Batch
from attnlab.encoders.base import Encoded, visible
from attnlab.heads.base import Head
from attnlab.heads.losses import class_loss
from attnlab.spec import Output, StepLabels


class PerStep(Head):
    """A class at each position, from its own state and a look back at all states up to it.

    logits_t = W [s_t ; c_t] + b with c_t = attention(s_t, s_1 … s_t): the output is causal, so a state sees itself and
    what came before. With attention=none what remains is a linear readout of each state.

    Args:
        attention: recipe of the look back.
    """

    accepts: ClassVar[tuple[type[Output], ...]] = (StepLabels,)
    needs_aligned: ClassVar[bool] = True

    def __init__(self, output: StepLabels, state_dim: int, *, attention: AttentionRecipe) -> None:
        super().__init__()
        self.attention = attention(state_dim, state_dim, state_dim)
        self.readout = nn.Linear(state_dim + self.attention.context_dim, output.num_classes)

    def forward(self, encoded: Encoded, inputs: Tensor, targets: Tensor | None) -> Tensor:
        seen = visible(encoded.mask, causal=True)
        context = self.attention(encoded.states, encoded.states, mask=seen, context_only=True).context
        return self.readout(torch.cat([encoded.states, context], dim=-1))

    def loss(self, predictions: Tensor, batch: Batch) -> Tensor:
        return class_loss(predictions, batch)

    def decode(self, predictions: Tensor) -> Tensor:
        return predictions.argmax(-1)
