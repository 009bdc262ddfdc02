"""What a dataset looks like from outside: kinds, sizes, lengths. All that a model may know of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.batch import Batch


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
class Forecast:
    """The next `horizon` values of some input channels: [B, horizon, len(target_channels)].

    Args:
        target_channels: where each predicted variable stands among the input channels.
    """

    horizon: int
    target_channels: tuple[int, ...]


@dataclass(frozen=True)
class TokenSequence:
    """A sequence of at most max_length tokens: [B, U]. 0 is padding and is never a target."""

    vocab_size: int
    max_length: int


@dataclass(frozen=True)
class PointerSequence:
    """A sequence of positions of the input, each used once: [B, U]."""

    max_length: int


Input = Series | Points | Tokens
Output = Forecast | TokenSequence | PointerSequence


@dataclass(frozen=True)
class DataSpec:
    """What a model must know about a dataset to be built for it.

    Args:
        max_length: the longest input, in positions.
    """

    input: Input
    output: Output
    max_length: int

    def example(self, batch_size: int = 2, length: int | None = None, seed: int = 0) -> Batch:
        """A random batch of this shape, without touching the data. The last example is padded by one."""
        generator = torch.Generator().manual_seed(seed)
        length = min(length or self.max_length, self.max_length)
        lengths = torch.full((batch_size,), length)
        if not isinstance(self.output, Forecast):  # look-back windows are never padded
            lengths[-1] = max(1, length - 1)
        input_mask = torch.arange(length) < lengths[:, None]
        return Batch(
            self._example_inputs(batch_size, length, input_mask, generator),
            input_mask,
            *self._example_targets(batch_size, input_mask, generator),
        )

    def _example_inputs(self, batch_size: int, length: int, input_mask: Tensor, generator: torch.Generator) -> Tensor:
        if isinstance(self.input, Tokens):
            tokens = torch.randint(1, self.input.vocab_size, (batch_size, length), generator=generator)
            return tokens * input_mask
        width = self.input.channels if isinstance(self.input, Series) else self.input.dims
        return torch.rand(batch_size, length, width, generator=generator) * input_mask[..., None]

    def _example_targets(
        self, batch_size: int, input_mask: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        if isinstance(self.output, Forecast):
            shape = (batch_size, self.output.horizon, len(self.output.target_channels))
            return torch.randn(shape, generator=generator), torch.ones(shape, dtype=torch.bool)
        if isinstance(self.output, TokenSequence):
            tokens = torch.randint(1, self.output.vocab_size, input_mask.shape, generator=generator)
            return tokens * input_mask, input_mask
        order = torch.rand(input_mask.shape, generator=generator).masked_fill(~input_mask, 2.0)
        return order.argsort(1) * input_mask, input_mask
