from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from attnlab.attention import AttentionRecipe
from attnlab.batch import Batch
from attnlab.encoders.base import Encoded
from attnlab.heads.base import Head, last_place
from attnlab.heads.losses import criterion, value_loss
from attnlab.spec import Forecast, Output


class Direct(Head):
    """A forecast of all horizon steps at once, each with its own look at the past.

    Step τ has the query u_τ = W final + e_τ, with a learned e_τ, and sees the context c_τ = attention(u_τ, states).
    The prediction is the last observed value plus what a small network makes of both:
    ŷ_τ = x_T + f([c_τ ; u_τ]). The weights say which past hours each future hour looked at. With attention=none
    there is no context, and the final state alone decides. All queries stand at the last observed hour, from which
    they look back.

    Args:
        hidden_dim: width of the network f.
        dropout: inside f.
        loss: mae, mse or huber, on scaled values; missing targets count in none of them.
        attention: recipe of the look back.

    Raises:
        ValueError: an unknown loss.
    """

    accepts: ClassVar[tuple[type[Output], ...]] = (Forecast,)

    def __init__(
        self,
        output: Forecast,
        state_dim: int,
        *,
        hidden_dim: int,
        dropout: float,
        loss: str,
        attention: AttentionRecipe,
    ) -> None:
        super().__init__()
        self.target_channels = list(output.target_channels)
        self.criterion = criterion(loss)
        self.query = nn.Linear(state_dim, state_dim)
        self.steps = nn.Parameter(torch.randn(output.horizon, state_dim) * state_dim**-0.5)
        self.attention = attention(state_dim, state_dim, state_dim)
        self.network = nn.Sequential(
            nn.Linear(self.attention.context_dim + state_dim, hidden_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_dim, len(output.target_channels)),
        )

    def forward(self, encoded: Encoded, inputs: Tensor, targets: Tensor | None) -> Tensor:
        queries = self.query(encoded.final)[:, None] + self.steps  # [B, horizon, state_dim]
        places = last_place(encoded.mask).expand(-1, queries.shape[1])
        context = self.attention(queries, encoded.states, mask=encoded.mask, places=places, context_only=True).context
        last_observed = inputs[:, -1:, self.target_channels]
        return last_observed + self.network(torch.cat([context, queries], dim=-1))

    def loss(self, predictions: Tensor, batch: Batch) -> Tensor:
        return value_loss(self.criterion, predictions, batch)

    def decode(self, predictions: Tensor) -> Tensor:
        return predictions
