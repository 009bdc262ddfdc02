"""A head turns states into predictions: it reads, decodes or points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from attnlab.batch import Batch
from attnlab.encoders.base import Encoded
from attnlab.spec import Output


class Head(nn.Module, ABC):
    """What is predicted, how it is trained, and how a prediction becomes an answer.

    Built as head(output, state_dim, **its own options): output says what the data ask for, state_dim is the width
    of the encoder's states.
    """

    #: The kinds of output it can predict.
    accepts: ClassVar[tuple[type[Output], ...]]
    #: Whether the attention weights are its prediction, so that they must be trainable.
    predicts_weights: ClassVar[bool] = False
    #: Whether each prediction is fed the one before, so that answering needs `generate`.
    feeds_back: ClassVar[bool] = False
    #: Whether it needs states that belong to the input positions, not memory slots.
    needs_aligned: ClassVar[bool] = False
    #: Whether it needs states that belong to the input's variables.
    needs_variables: ClassVar[bool] = False
    #: Whether it can be asked a question; then it is built with question_dim, the question's width.
    answers_questions: ClassVar[bool] = False

    @abstractmethod
    def forward(self, encoded: Encoded, inputs: Tensor, targets: Tensor | None) -> Tensor:
        """Predictions. A head that feeds back is fed the targets here (teacher forcing)."""

    def generate(self, encoded: Encoded, inputs: Tensor) -> Tensor:
        """Predictions of a model on its own, which never sees a target."""
        return self(encoded, inputs, None)

    @abstractmethod
    def loss(self, predictions: Tensor, batch: Batch) -> Float[Tensor, ""]:
        """Mean over what is real in the batch."""

    @abstractmethod
    def decode(self, predictions: Tensor) -> Tensor:
        """The answer as a person wants it: values, a sequence, a tour."""


def masked_mean(values: Tensor, mask: Tensor) -> Float[Tensor, ""]:
    """Mean of the values that are real; 0 where none is (and then without a gradient, not NaN)."""
    return values.where(mask, 0).sum() / mask.sum().clamp(min=1)


def last_place(mask: Bool[Tensor, "batch items"]) -> Int[Tensor, "batch 1"]:
    """Where a query stands that is asked once all has been seen: at the last real item."""
    return (mask.sum(1, keepdim=True) - 1).clamp(min=0)
