"""Toy sequence tasks, generated vectorised and seeded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from attnlab.batch import Batch
from attnlab.data.base import Baseline, BatchSource, DataModule, Split, check_least, generator_for, length_range
from attnlab.data.metrics import SequenceAccuracy
from attnlab.spec import DataSpec, Tokens, TokenSequence

PAD, END = 0, 1
FIRST_SYMBOL = 2


class Reverse(DataModule):
    """Say the sequence backwards, then say that you are done.

        input    7 3 9 4 . .
        target   4 9 3 7 ■ .        ■ the end token (1), . padding (0)

    Args:
        length: symbols per sequence: a number, or a range such as 4-12, drawn uniformly.
        num_symbols: how many different symbols there are.
        num_train, num_val, num_test: sequences in each split, from disjoint streams of random numbers.
    """

    key_metric: ClassVar[str] = "exact_match"
    key_mode: ClassVar[Literal["min", "max"]] = "max"
    example_spec: ClassVar[DataSpec] = DataSpec(Tokens(11), TokenSequence(11, 8), max_length=7)

    def __init__(
        self,
        *,
        length: int | str,
        num_symbols: int,
        num_train: int,
        num_val: int,
        num_test: int,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__(batch_size=batch_size, seed=seed)
        self.shortest, self.longest = length_range("data.length", length, least=1)
        check_least(1, num_symbols=num_symbols, num_train=num_train, num_val=num_val, num_test=num_test)
        self.vocab_size = FIRST_SYMBOL + num_symbols
        self.sizes: dict[Split, int] = {"train": num_train, "val": num_val, "test": num_test}
        self._sources: dict[Split, BatchSource] = {}

    @property
    def spec(self) -> DataSpec:
        return DataSpec(
            Tokens(self.vocab_size), TokenSequence(self.vocab_size, self.longest + 1), max_length=self.longest
        )

    def source(self, split: Split) -> BatchSource:
        if split not in self._sources:
            random = generator_for(self.seed, split)
            lengths = random.integers(self.shortest, self.longest, self.sizes[split], endpoint=True)
            symbols = random.integers(FIRST_SYMBOL, self.vocab_size, (self.sizes[split], self.longest))
            symbols *= np.arange(self.longest) < lengths[:, None]
            self._sources[split] = _Reversed(torch.from_numpy(symbols), torch.from_numpy(lengths))
        return self._sources[split]

    def metric(self) -> Metric:
        return SequenceAccuracy()

    def baselines(self) -> Mapping[str, Baseline]:
        return {"copy_input": _copy_input, "most_frequent": self._most_frequent}

    def _most_frequent(self, batch: Batch) -> Tensor:
        """Always the symbol that training shows most often."""
        source = self.source("train")
        assert isinstance(source, _Reversed)
        counts = source.symbols.flatten().bincount()
        return torch.full_like(batch.targets, FIRST_SYMBOL + int(counts[FIRST_SYMBOL:].argmax()))


class _Reversed:
    def __init__(self, symbols: Tensor, lengths: Tensor) -> None:
        self.symbols, self.lengths = symbols, lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, indices: np.ndarray) -> Batch:
        lengths = self.lengths[indices, None]
        position = torch.arange(self.symbols.shape[1] + 1)
        input_mask = position[:-1] < lengths
        inputs = self.symbols[indices]
        targets = inputs.gather(1, (lengths - 1 - position).clamp(0, inputs.shape[1] - 1))
        targets = targets.where(position < lengths, PAD).where(position != lengths, END)
        return Batch(inputs, input_mask, targets, position <= lengths)


def _copy_input(batch: Batch) -> Tensor:
    """The input, unchanged, and the end token in the right place."""
    padded = torch.nn.functional.pad(batch.inputs, (0, 1))
    lengths = batch.input_mask.sum(1, keepdim=True)
    return padded.where(torch.arange(padded.shape[1], device=padded.device) != lengths, END)
