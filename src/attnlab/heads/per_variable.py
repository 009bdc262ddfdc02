from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from attnlab.batch import Batch
from attnlab.encoders.base import Encoded
from attnlab.heads.base import Head
from attnlab.heads.losses import criterion, value_loss
from attnlab.spec import Forecast, Output


class PerVariable(Head):
    """A forecast of all horizon steps of a variable from the state of that variable alone.

    iTransformer, Liu et al. 2024, arXiv:2310.06625, §3.1: Ŷ_{:,n} = Projection(h_n), one linear map, the same for all
    variables. Variables that are only inputs have states that others look at, and no forecast.

    Args:
        loss: mae, mse or huber, on scaled values; missing targets count in none of them.

    Raises:
        ValueError: an unknown loss.
    """

    accepts: ClassVar[tuple[type[Output], ...]] = (Forecast,)
    needs_variables: ClassVar[bool] = True

    def __init__(self, output: Forecast, state_dim: int, *, loss: str) -> None:
        super().__init__()
        self.target_channels = list(output.target_channels)
        self.criterion = criterion(loss)
        self.projection = nn.Linear(state_dim, output.horizon)

    def forward(self, encoded: Encoded, inputs: Tensor, targets: Tensor | None) -> Tensor:
        return self.projection(encoded.states[:, self.target_channels]).transpose(1, 2)

    def loss(self, predictions: Tensor, batch: Batch) -> Tensor:
        return value_loss(self.criterion, predictions, batch)

    def decode(self, predictions: Tensor) -> Tensor:
        return predictions
