"""What a dataset looks like from outside: kinds, sizes, lengths. All that a model may know of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attnlab.batch import Batch

#: Tokens that every dataset of tokens reserves: padding, and the end of an output sequence.
PAD, END = 0, 1
#: Where a sequence of positions has ended: the ⇐ of Vinyals et al. 2015. No position is called that.
END_OF_POINTERS = -1


@dataclass(frozen=True)
class Series:
    """Real vectors in order: [B, T, channels]."""

    channels: int
    ordered = True


@dataclass(frozen=True)
class Points:
    """A set of points: [B, T, dims]. The order in which they come means nothing."""

    dims: int = 2
    ordered = False


@dataclass(frozen=True)
class Tokens:
    """Whole numbers below vocab_size in order: [B, T]. 0 is padding."""

    vocab_size: int
    ordered = True


@dataclass(frozen=True)
class Sentences:
    """Sentences in order, each of at most max_words tokens: [B, T, max_words]. 0 is padding.

    Args:
        entities: the tokens that name somebody or something, for encoders that keep a slot for each.
    """

    vocab_size: int
    max_words: int
    entities: tuple[int, ...] = ()
    ordered = True


@dataclass(frozen=True)
class Forecast:
    """The next `horizon` values of some input channels: [B, horizon, len(target_channels)].

    Args:
        target_channels: where each predicted variable stands among the input channels.
    """

    horizon: int
    target_channels: tuple[int, ...]


@dataclass(frozen=True)
class Label:
    """One class for the whole input: [B, 1]."""

    num_classes: int


@dataclass(frozen=True)
class Number:
    """One real number for the whole input: [B, 1, 1]."""


@dataclass(frozen=True)
class StepLabels:
    """A class at some or all positions of the input: [B, T]. What comes later must not be seen: it is causal."""

    num_classes: int


@dataclass(frozen=True)
class TokenSequence:
    """A sequence of at most max_length tokens: [B, U]. 0 is padding and is never a target; END closes a sequence."""

    vocab_size: int
    max_length: int


@dataclass(frozen=True)
class PointerSequence:
    """A sequence of positions of the input: [B, U].

    Args:
        max_length: of the sequence, its end included.
        can_judge_repeats: whether an answer that uses a position twice is simply wrong there. A tour with a city twice
            would be no tour, and have no length to compare.
        ends: whether it says itself where it ends, by END_OF_POINTERS; else it uses every position once.
        needs_repeats: whether the right answers use a position more than once.
    """

    max_length: int
    can_judge_repeats: bool = False
    ends: bool = False
    needs_repeats: bool = False


Input = Series | Points | Tokens | Sentences
Output = Forecast | Label | Number | StepLabels | TokenSequence | PointerSequence


@dataclass(frozen=True)
class DataSpec:
    """What a model must know about a dataset to be built for it.

    Args:
        max_length: the longest input of any split, in positions.
        question: the tokens of the question that comes with each input, where there is one.
    """

    input: Input
    output: Output
    max_length: int
    question: Tokens | None = None

    @property
    def kinds(self) -> str:
        """What kind of question this is, without sizes: "tokens → step labels". Models see no more of a dataset."""
        words = [re.sub("(?<=[a-z])(?=[A-Z])", " ", type(kind).__name__).lower() for kind in (self.input, self.output)]
        ends = isinstance(self.output, PointerSequence) and self.output.ends
        return f"{words[0]}{' and a question' if self.question else ''} → {words[1]}{' with an end' if ends else ''}"

    @property
    def causal(self) -> bool:
        """Whether a state may depend on the inputs up to its own position only."""
        return isinstance(self.output, StepLabels)

    def example(self, batch_size: int = 2, length: int | None = None, seed: int = 0) -> Batch:
        """A random batch of this shape, without touching the data. The last example is padded by one."""
        generator = torch.Generator().manual_seed(seed)
        length = min(length or self.max_length, self.max_length)
        lengths = torch.full((batch_size,), length)
        if not isinstance(self.output, Forecast):  # look-back windows are never padded
            lengths[-1] = max(1, length - 1)
        input_mask = torch.arange(length) < lengths[:, None]
        question = None
        if self.question is not None:
            words = self.input.max_words if isinstance(self.input, Sentences) else length
            question = torch.randint(1, self.question.vocab_size, (batch_size, min(3, words)), generator=generator)
        return Batch(
            self._example_inputs(batch_size, length, input_mask, generator),
            input_mask,
            *self._example_targets(batch_size, input_mask, generator),
            question,
        )

    def _example_inputs(self, batch_size: int, length: int, input_mask: Tensor, generator: torch.Generator) -> Tensor:
        if isinstance(self.input, Tokens):
            tokens = torch.randint(1, self.input.vocab_size, (batch_size, length), generator=generator)
            return tokens * input_mask
        if isinstance(self.input, Sentences):
            shape = (batch_size, length, self.input.max_words)
            return torch.randint(1, self.input.vocab_size, shape, generator=generator) * input_mask[..., None]
        width = self.input.channels if isinstance(self.input, Series) else self.input.dims
        return torch.rand(batch_size, length, width, generator=generator) * input_mask[..., None]

    def _example_targets(
        self, batch_size: int, input_mask: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        output = self.output
        if isinstance(output, Forecast | Number):
            size = (output.horizon, len(output.target_channels)) if isinstance(output, Forecast) else (1, 1)
            shape = (batch_size, *size)
            return torch.randn(shape, generator=generator), torch.ones(shape, dtype=torch.bool)
        if isinstance(output, Label):
            labels = torch.randint(output.num_classes, (batch_size, 1), generator=generator)
            return labels, torch.ones_like(labels, dtype=torch.bool)
        if isinstance(output, StepLabels):
            labels = torch.randint(output.num_classes, input_mask.shape, generator=generator)
            return labels * input_mask, input_mask
        if isinstance(output, TokenSequence):
            tokens = torch.randint(1, output.vocab_size, input_mask.shape, generator=generator)
            return tokens * input_mask, input_mask
        order = torch.rand(input_mask.shape, generator=generator).masked_fill(~input_mask, 2.0).argsort(1)
        if not output.ends:
            return order * input_mask, input_mask
        step = torch.arange(input_mask.shape[1] + 1)
        end = (torch.rand(batch_size, 1, generator=generator) * input_mask.sum(1, keepdim=True)).long() + 1
        targets = F.pad(order, (0, 1)).masked_fill(step == end, END_OF_POINTERS)
        return targets * (step <= end), step <= end
