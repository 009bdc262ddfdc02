"""Data that are generated: seeded, vectorised, with splits from disjoint streams of random numbers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from attnlab.batch import Batch
from attnlab.data.base import Baseline, BatchSource, DataModule, Split, check_least, generator_for, length_range
from attnlab.data.metrics import SequenceAccuracy
from attnlab.errors import UserError
from attnlab.spec import END_OF_POINTERS, DataSpec, StepLabels, Tokens


class Generated(DataModule):
    """Splits of asked sizes, made when first needed and kept.

    Args:
        num_train, num_val, num_test: examples in each split, from disjoint streams of random numbers.
    """

    def __init__(self, *, num_train: int, num_val: int, num_test: int, batch_size: int, seed: int) -> None:
        super().__init__(batch_size=batch_size, seed=seed)
        check_least(1, num_train=num_train, num_val=num_val, num_test=num_test)
        self.sizes = {"train": num_train, "val": num_val, "test": num_test}
        self._sources: dict[Split, BatchSource] = {}

    def source(self, split: Split) -> BatchSource:
        if split not in self._sources:
            self._sources[split] = self.generate(split, generator_for(self.seed, split))
        return self._sources[split]

    def size_of(self, split: Split) -> int:
        """Examples in a split; every further test has as many as the test part."""
        return self.sizes.get(split, self.sizes["test"])

    @abstractmethod
    def generate(self, split: Split, random: np.random.Generator) -> BatchSource:
        """All examples of a split."""


class PointProblem(Generated):
    """Problems on a set of points.

    Args:
        num_points: a number, or a range such as 5-10, drawn uniformly.
    """

    #: The fewest points that make a problem.
    least_points: ClassVar[int] = 2

    def __init__(self, *, num_points: int | str, **options: Any) -> None:
        super().__init__(**options)
        self.fewest, self.most = length_range("data.num_points", num_points, self.least_points)

    def draw(self, split: Split, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Points [N, most, 2] from the unit square, and how many of them each instance has [N]."""
        size = self.size_of(split)
        counts = random.integers(self.fewest, self.most, size, endpoint=True)
        return random.random((size, self.most, 2), dtype=np.float32), counts


class Labelled:
    """Instances of a problem on points with their answers, each found when it is first needed, and kept.

    Args:
        points: [N, T, 2]; counts: how many of them are real in each instance.
        solve: the answer to one instance: positions of its points, in order.
        most: the longest answer.
        ends: whether answers differ in length and say END_OF_POINTERS; then a batch is as wide as its longest.
    """

    def __init__(
        self,
        points: np.ndarray,
        counts: np.ndarray,
        solve: Callable[[np.ndarray], np.ndarray],
        most: int,
        *,
        ends: bool = False,
    ) -> None:
        self.points, self.counts, self.solve, self.ends = points, counts, solve, ends
        self.answers = np.zeros((len(points), most + ends), dtype=np.min_scalar_type(-points.shape[1]))
        self.lengths = np.zeros(len(points), dtype=np.int64)  # 0 until it is solved

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, indices: np.ndarray) -> Batch:
        for index in indices[self.lengths[indices] == 0]:  # a solver call each: not a loop over tensors
            answer = self.solve(self.points[index, : self.counts[index]]).ravel()
            if self.ends:
                answer = np.append(answer, END_OF_POINTERS)
            self.answers[index, : len(answer)] = answer
            self.lengths[index] = len(answer)
        mask = torch.arange(self.points.shape[1]) < torch.from_numpy(self.counts[indices, None])
        lengths = self.lengths[indices]
        width = lengths.max() if self.ends else self.answers.shape[1]
        target_mask = torch.arange(width) < torch.from_numpy(lengths[:, None])
        targets = torch.from_numpy(self.answers[indices, :width]).long()
        return Batch(torch.from_numpy(self.points[indices]) * mask[..., None], mask, targets, target_mask)


class Toy(Generated):
    """A task on sequences of a chosen length, tested on the lengths of training and on others.

    Args:
        length: what a task counts: a number, or a range such as 4-12, drawn uniformly.
        test_lengths: further lengths, or ranges, each a test of its own beside the usual one: does what was learned
            hold for longer sequences? Their metrics are test/length_40/….
    """

    #: The shortest length that makes sense.
    least_length: ClassVar[int] = 1

    def __init__(
        self,
        *,
        length: int | str,
        test_lengths: Sequence[int | str],
        num_train: int,
        num_val: int,
        num_test: int,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__(num_train=num_train, num_val=num_val, num_test=num_test, batch_size=batch_size, seed=seed)
        self.length = length_range("data.length", length, self.least_length)
        ranges = [length_range("data.test_lengths", other, self.least_length) for other in test_lengths]
        self.tested = {f"length_{other}": bounds for other, bounds in zip(test_lengths, ranges, strict=True)}
        if len(self.tested) < len(test_lengths):
            raise UserError(f"data.test_lengths={list(test_lengths)} names a length twice")
        #: The longest of all splits: what models must be able to hold.
        self.longest = max(bounds[1] for bounds in [self.length, *ranges])

    @property
    def further_tests(self) -> tuple[Split, ...]:
        return tuple(self.tested)

    def generate(self, split: Split, random: np.random.Generator) -> BatchSource:
        count = self.size_of(split)
        shortest, longest = self.tested.get(split, self.length)
        lengths = random.integers(shortest, longest, count, endpoint=True)
        return Examples(self.examples(random, lengths))

    @abstractmethod
    def examples(self, random: np.random.Generator, lengths: np.ndarray) -> Batch:
        """One example for each length, all at once and padded to the longest."""


class Examples:
    """A split that is held as one big batch, its whole numbers in as few bytes as they need."""

    def __init__(self, everything: Batch) -> None:
        self.everything = everything.each(_narrow)

    def __len__(self) -> int:
        return self.everything.num_examples

    def __getitem__(self, indices: np.ndarray) -> Batch:
        return self.everything.each(lambda field: field[indices].long() if _is_whole(field) else field[indices])


def _is_whole(field: Tensor) -> bool:
    return field.dtype != torch.bool and not field.is_floating_point()


def _narrow(field: Tensor) -> Tensor:
    if not _is_whole(field):
        return field
    kind = np.min_scalar_type(min(int(field.min()), -1 - int(field.max())))  # below 0: torch has no unsigned kinds
    return torch.from_numpy(field.numpy().astype(kind, copy=False))


class StepToy(Toy):
    """A toy that asks for a class at some positions of its input: spec output StepLabels, which is causal."""

    key_metric: ClassVar[str] = "accuracy"
    key_mode: ClassVar[Literal["min", "max"]] = "max"
    example_spec: ClassVar[DataSpec] = DataSpec(Tokens(11), StepLabels(5), max_length=7)

    @property
    @abstractmethod
    def vocab_size(self) -> int: ...

    @property
    @abstractmethod
    def num_classes(self) -> int: ...

    def num_positions(self, length: int) -> int:
        """Positions of an input of a length; more where the task counts something else, such as pairs."""
        return length

    @property
    def spec(self) -> DataSpec:
        return DataSpec(Tokens(self.vocab_size), StepLabels(self.num_classes), self.num_positions(self.longest))

    def metric(self) -> Metric:
        return SequenceAccuracy()

    def baselines(self) -> Mapping[str, Baseline]:
        return {"most_frequent": self._most_frequent, "chance": self._chance}

    @cached_property
    def _train_classes(self) -> Tensor:
        source = self.source("train")
        classes = []
        for start in range(0, len(source), 1000):  # a long task fills the memory if it is looked at as a whole
            batch = source[np.arange(start, min(start + 1000, len(source)))]
            classes.append(batch.targets[batch.target_mask])
        return torch.cat(classes)

    def _most_frequent(self, batch: Batch) -> Tensor:
        """Always the class that training asks for most often."""
        return torch.full_like(batch.targets, int(self._train_classes.bincount().argmax()))

    def _chance(self, batch: Batch) -> Tensor:
        """Classes drawn as training asks for them."""
        classes = self._train_classes
        generator = torch.Generator().manual_seed(batch.num_examples)
        return classes[torch.randint(len(classes), batch.targets.shape, generator=generator)]


def step_batch(inputs: np.ndarray, real: np.ndarray, targets: np.ndarray, asked: np.ndarray) -> Batch:
    """A batch of [N, T] tokens and classes; what is not real or not asked becomes 0."""
    return Batch(*map(torch.from_numpy, (inputs * real, real, targets * asked, asked)))


def distinct(random: np.random.Generator, count: int, choices: int, size: int) -> np.ndarray:
    """`count` rows [count, size] of different numbers below `choices`, every such row as likely as any other.

    Floyd's algorithm (Bentley & Floyd 1987, "A sample of brilliance") on all rows at once, and then a shuffle: it needs
    no table of all choices, of which there are thousands.
    """
    rows = np.empty((count, size), dtype=np.int64)
    for index in range(size):
        top = choices - size + index
        drawn = random.integers(top, size=count, endpoint=True)
        taken = (rows[:, :index] == drawn[:, None]).any(1)
        rows[:, index] = np.where(taken, top, drawn)
    return random.permuted(rows, axis=1)
