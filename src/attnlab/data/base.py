"""A dataset: what it looks like (spec), its batches, how its answers are judged, and what is easy to beat."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import pytorch_lightning as L
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchmetrics import Metric

from attnlab.batch import Batch
from attnlab.errors import UserError
from attnlab.spec import (
    END,
    END_OF_POINTERS,
    PAD,
    DataSpec,
    Forecast,
    Number,
    PointerSequence,
    Series,
    StepLabels,
    Tokens,
    TokenSequence,
)

#: train, val, test, or one of the further tests that a dataset names.
Split = str
#: A batch → decoded predictions, as a model's `answer`.
Baseline = Callable[[Batch], Tensor]


@runtime_checkable
class BatchSource(Protocol):
    """Examples that are fetched many at a time, by vectorised indexing and without a loop over samples."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: np.ndarray) -> Batch: ...


class DataModule(L.LightningDataModule, ABC):
    """Splits, batches, metrics and baselines of one dataset.

    Args:
        batch_size: examples per batch, per device.
        seed: of the shuffling, and of the data where they are generated.
    """

    #: The metric that chooses the best checkpoint and ranks runs, without "val/" or "test/".
    key_metric: ClassVar[str]
    key_mode: ClassVar[Literal["min", "max"]]
    #: A dataset of this kind in a size that costs nothing: what combinations are tried on.
    example_spec: ClassVar[DataSpec]
    #: What an answer draws through the points of its input; None where it draws nothing.
    draws: ClassVar[Literal["tour", "hull", "triangulation"] | None] = None

    def __init__(self, *, batch_size: int, seed: int) -> None:
        super().__init__()
        check_least(1, batch_size=batch_size)
        self.batch_size = batch_size
        self.seed = seed

    @property
    @abstractmethod
    def spec(self) -> DataSpec:
        """Known without training."""

    @abstractmethod
    def source(self, split: Split) -> BatchSource:
        """The examples of a split."""

    @abstractmethod
    def metric(self) -> Metric:
        """A fresh metric, updated with (decoded predictions, batch), that computes a dict of numbers."""

    @abstractmethod
    def baselines(self) -> Mapping[str, Baseline]:
        """What an answer must beat to be worth anything, by name; judged by the same metric on the same batches."""

    @property
    def further_tests(self) -> tuple[Split, ...]:
        """Tests beside the usual one, such as longer sequences; each is a split, and names its metrics."""
        return ()

    def fingerprint(self) -> str | None:
        """A hash of the file behind the data; None where config and seed say it all."""
        return None

    def input_labels(self, split: Split, index: int) -> list[str]:
        """What stands at each real position of an example's input, for the axes of a picture."""
        batch = self.source(split)[np.array([index])]
        length = int(batch.input_mask.sum())
        if isinstance(self.spec.input, Tokens):
            return [token_label(token) for token in batch.inputs[0, :length].tolist()]
        return [str(position) for position in range(length)]

    def variable_labels(self) -> list[str]:
        """The names of a series' variables, for the axes of a picture where states belong to them."""
        assert isinstance(self.spec.input, Series)
        return [str(number + 1) for number in range(self.spec.input.channels)]

    @property
    def first_items(self) -> list[str]:
        """What a head can look at before the real positions of the input: the end, where answers point at it."""
        ends = isinstance(self.spec.output, PointerSequence) and self.spec.output.ends
        return [token_label(END)] if ends else []

    def question_label(self, split: Split, index: int) -> str | None:
        """The question that comes with an example, for people; None where the data ask none."""
        return None

    def answer_labels(self, split: Split, index: int, answer: Tensor) -> list[str]:
        """What an answer [U] says at each step, for the axes of a picture; as many steps as its target has.

        An answer that points at its end has its own steps.
        """
        batch = self.source(split)[np.array([index])]
        if isinstance(self.spec.output, Forecast):
            return [f"+{step + 1}" for step in range(len(answer))]
        if isinstance(self.spec.output, Number):
            return [f"{float(answer.flatten()[0]):.3f}"]
        if isinstance(self.spec.output, StepLabels):  # one for each real position; where nothing is asked, a dot
            asked = batch.target_mask[0, : int(batch.input_mask.sum())].tolist()
            return [str(said) if real else "·" for said, real in zip(answer.tolist(), asked, strict=False)]
        if self.first_items:  # up to its own end, wherever that is
            ended = (answer == END_OF_POINTERS).cumsum(0) > 0
            return [*map(str, answer[~ended].tolist()), *(self.first_items if ended.any() else [])]
        steps = answer[: int(batch.target_mask[0].sum())].tolist()
        return [token_label(step) if isinstance(self.spec.output, TokenSequence) else str(step) for step in steps]

    def describe(self, baseline: str) -> str:
        """A baseline's name for people."""
        return baseline.replace("_", " ")

    def loader(self, split: Split) -> DataLoader[Batch]:
        source = self.source(split)
        training = split == "train"
        batches = IndexBatches(len(source), self.batch_size, shuffle=training, seed=self.seed)
        dataset: Dataset[Batch] = source  # type: ignore[assignment]  # all that a DataLoader asks is __getitem__
        kind = ResumableLoader if training else DataLoader
        return kind(dataset, sampler=batches, batch_size=None, collate_fn=_as_it_is)

    def train_dataloader(self) -> DataLoader[Batch]:
        return self.loader("train")

    def val_dataloader(self) -> DataLoader[Batch]:
        return self.loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        return self.loader("test")


class IndexBatches(Sampler[np.ndarray]):
    """Whole batches of indices; the last one may be short, none is dropped.

    The order of an epoch is a function of seed and epoch alone, so a resumed run sees what an uninterrupted one would.
    """

    def __init__(self, num_examples: int, batch_size: int, *, shuffle: bool, seed: int) -> None:
        self.num_examples, self.batch_size, self.shuffle, self.seed = num_examples, batch_size, shuffle, seed
        self.epoch = 0
        #: Batches of this epoch that were given out.
        self.position = 0
        self.resumed: dict[str, int] = {}

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """The epoch that was left goes on where it was left; any other begins at its beginning."""
        self.resumed = dict(state)

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.num_examples // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        order = np.arange(self.num_examples)
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_examples)
        self.position = self.resumed["position"] if self.resumed.get("epoch") == self.epoch else 0
        while self.position < len(self):
            start = self.position * self.batch_size
            self.position += 1
            yield order[start : start + self.batch_size]


class ResumableLoader(DataLoader[Batch]):
    """Its place in the epoch is part of every checkpoint: what Lightning asks of a loader to resume within an epoch."""

    sampler: IndexBatches

    def state_dict(self) -> dict[str, int]:
        return self.sampler.state_dict()

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.sampler.load_state_dict(state)


def token_label(token: int) -> str:
    """A token for a picture: itself, ■ for the end, a dot for padding."""
    return {PAD: "·", END: "■"}.get(token, str(token))


def _as_it_is(batch: Any) -> Any:
    return batch


#: Each split draws from its own stream of random numbers, whatever the seed.
SPLIT_STREAMS = {"train": 0, "val": 1, "test": 2}


def generator_for(seed: int, split: Split) -> np.random.Generator:
    """Random numbers for the generated examples of a split: disjoint streams for train, validation and tests."""
    stream = SPLIT_STREAMS.get(split)
    if stream is None:  # a further test; a number of its name, the same in every process
        stream = len(SPLIT_STREAMS) + zlib.crc32(split.encode())
    return np.random.default_rng([seed, stream, 1])  # the 1 keeps them apart from the shuffling's


def check_least(least: int, **options: int) -> None:
    """Refuses counts that are too small.

    Raises:
        UserError: the first option of data that is below `least`.
    """
    for option, value in options.items():
        if value < least:
            raise UserError(f"data.{option}={value} must be at least {least}")


def length_range(option: str, value: int | str, least: int) -> tuple[int, int]:
    """Reads "12" or "5-50": one number, or the shortest and the longest.

    Raises:
        UserError: neither, or out of order, or below `least`.
    """
    first, dash, second = str(value).partition("-")
    try:
        shortest, longest = int(first), int(second if dash else first)
    except ValueError:
        raise UserError(f"{option}={value} is neither a number nor a range such as 5-20") from None
    if not least <= shortest <= longest:
        raise UserError(f"{option}={value} must be at least {least}, and a range must rise, such as 5-20")
    return shortest, longest
