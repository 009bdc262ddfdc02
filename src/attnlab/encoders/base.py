"""An encoder turns vectors into states: [B, T, dim] in, [B, T, output_dim] out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor, nn


class Encoded(NamedTuple):
    """States, which of them are real, and one vector that sums the sequence up."""

    states: Float[Tensor, "batch items state_dim"]
    mask: Bool[Tensor, "batch items"]
    final: Float[Tensor, "batch state_dim"]


class Encoder(nn.Module, ABC):
    """states[:, t] belongs to inputs[:, t]. Padding stands on the right and never changes a real state."""

    #: Whether it cannot tell order by itself, so that positions must be added to its inputs.
    needs_positions: ClassVar[bool] = False
    #: Whether it owns an attention, which `attention=none` would leave empty.
    attends: ClassVar[bool] = False
    output_dim: int

    @abstractmethod
    def forward(self, inputs: Float[Tensor, "batch time input_dim"], mask: Bool[Tensor, "batch time"]) -> Encoded: ...


def last_state(
    states: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"]
) -> Float[Tensor, "batch width"]:
    """The state at the last real position."""
    last = (mask.sum(1) - 1).clamp(min=0)
    return states.gather(1, last[:, None, None].expand(-1, 1, states.shape[-1])).squeeze(1)


def mean_state(
    states: Float[Tensor, "batch time width"], mask: Bool[Tensor, "batch time"]
) -> Float[Tensor, "batch width"]:
    """The mean over real positions."""
    weights = mask.to(states.dtype)
    return (states * weights[..., None]).sum(1) / weights.sum(1).clamp(min=1)[:, None]
