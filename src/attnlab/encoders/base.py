"""An encoder turns vectors into states: [B, T, dim] in, [B, T, output_dim] out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor, nn

from attnlab.spec import DataSpec


class Encoded(NamedTuple):
    """States, which of them are real, and one vector that sums the input up; and the question, where there is one."""

    states: Float[Tensor, "batch items state_dim"]
    mask: Bool[Tensor, "batch items"]
    final: Float[Tensor, "batch state_dim"]
    question: Float[Tensor, "batch question_dim"] | None = None


class Encoder(nn.Module, ABC):
    """Built as encoder(input_dim, spec, **its own options).

    Padding stands on the right and never changes a real state. Where spec.causal, a state depends on inputs up to its
    own position only.

    Args:
        input_dim: width of the inputs.
        spec: what the data look like: whether they have an order, how long they get, whether they are causal.
    """

    #: Whether states[:, t] belongs to inputs[:, t]. Memory slots do not.
    aligned: ClassVar[bool] = True
    #: Whether it is given an embedded variable in each place, [B, variables, input_dim], and not an embedded time: then
    #: the data must be windows of one length, and a state belongs to a variable.
    of_variables: ClassVar[bool] = False
    #: Whether it owns an attention, which `attention=none` would leave empty.
    attends: ClassVar[bool] = False
    #: The shortest input that reaches every parameter.
    needed_length: int = 1
    output_dim: int

    def __init__(self, input_dim: int, spec: DataSpec) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, inputs: Float[Tensor, "batch time input_dim"], mask: Bool[Tensor, "batch time"]) -> Encoded: ...

    def connect(self, embedder: nn.Module) -> None:
        """Called once with the embedder in front, for encoders that share its vectors."""
        return None


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


def visible(
    mask: Bool[Tensor, "batch time"], causal: bool
) -> Bool[Tensor, "batch time"] | Bool[Tensor, "batch t time"]:
    """The mask of self-attention: what is real, and where it is causal only what has come by then."""
    if not causal:
        return mask
    return mask[:, None] & mask.new_ones(mask.shape[1], mask.shape[1]).tril()
