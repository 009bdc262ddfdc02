"""What holds for every option of conf/data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from attnlab.batch import Batch
from attnlab.config import choices, conf_dir, register_resolvers
from attnlab.data import DataModule
from attnlab.data.generated import Toy
from attnlab.spec import (
    END_OF_POINTERS,
    Forecast,
    Label,
    Number,
    PointerSequence,
    Points,
    Sentences,
    Series,
    StepLabels,
    Tokens,
    TokenSequence,
)

SPLITS = ("train", "val", "test")
#: What makes a test quick. An option that is not named here is taken as it comes.
SMALL = {
    "beijing": ["data.lookback=24", "data.horizon=5", "data.batch_size=1024"],
    "convex_hull": ["data.num_points=4-7"],
    "copy": ["data.num_items=12"],
    "delaunay": ["data.num_points=4-7"],
    "sort_points": ["data.num_points=4-7"],
    "table": ["data.lookback=11", "data.horizon=5", "data.season=7", "data.batch_size=17"],
    "tsp": ["data.num_points=4-7"],
}
#: Lengths of a toy that are soon generated, and at which chance does not draw the same example twice.
LENGTHS = {
    "adding": "24-27",
    "copy": "3-5",
    "dyck": "58-61",
    "induction": "17-19",
    "modular": "18-21",
    "mqar": "20-23",
    "recall": "8-10",
    "reverse": "12-13",
    "selective_copy": "17-19",
    "sort": "12-13",
}
#: For whatever has a `num_train`. As many for the tests as for training: a stream that is used twice would show.
FEW = ["data.num_train=211", "data.num_val=31", "data.num_test=211", "data.batch_size=17"]
Make = Callable[..., DataModule]


def write_table(folder: Path) -> list[str]:
    """Somebody's measurements: two numeric columns with gaps, and one of names."""
    random = np.random.default_rng(0)
    lines = ["when,load,heat,day"]
    for hour in range(307):
        load, heat = random.normal([3 * (hour % 7), 50], [1, 9]).round(3).tolist()
        shown = ["" if random.random() < 0.05 else str(value) for value in (load, heat)]
        lines.append(f"{datetime(2020, 1, 1) + timedelta(hours=hour)},{','.join(shown)},{'ab'[hour // 24 % 2]}")
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return [f"data.path={path}", "data.time=when", "data.categorical=[day]"]


def write_stories(folder: Path) -> list[str]:
    """Who went where, and who looked where, in stories of six sentences with three questions each."""
    random = np.random.default_rng(0)
    names = ["Mary", "John", "Daniel", "Sandra", "Fred"]
    places = ["garden", "office", "kitchen", "hallway", "bedroom", "bathroom"]
    for part, num_stories in (("train", 40), ("test", 13)):
        lines = []
        for _ in range(num_stories):
            said: list[str] = []
            where: dict[str, str] = {}
            for step in range(6):
                name, place = names[random.integers(5)], places[random.integers(6)]
                if name in where:
                    said.append(f"{name} looked into the {place}.")
                else:
                    where[name] = place
                    said.append(f"{name} went to the {place}.")
                if step > 2:
                    asked = sorted(where)[random.integers(len(where))]
                    said.append(f"Where is {asked}? \t{where[asked]}\t1")
            lines += [f"{number} {line}" for number, line in enumerate(said, start=1)]
        (folder / f"qa1_single-supporting-fact_{part}.txt").write_text("\n".join(lines) + "\n")
    return [f"data.path={folder}"]


def write_pairs(folder: Path) -> list[str]:
    """Five to eight words, and the same words from the last to the first."""
    random = np.random.default_rng(0)
    words = np.array(["we", "you", "they", "see", "hear", "know", "the", "old", "blue", "sea", "street", "bird"])
    texts = [words[random.integers(12, size=random.integers(5, 9))] for _ in range(307)]
    path = folder / "pairs.txt"
    path.write_text("".join(f"{' '.join(text)}\t{' '.join(text[::-1])}\n" for text in texts))
    return [f"data.path={path}", "data.batch_size=17"]


#: Options that read somebody's file: what writes a small one, and says where it is.
NEEDS_FILE: dict[str, Callable[[Path], list[str]]] = {
    "babi": write_stories,
    "pairs": write_pairs,
    "table": write_table,
}
HAS_FILE = {"beijing", *NEEDS_FILE}
#: Whose validation and test parts are the same whatever the seed.
SPLIT_WITHOUT_CHANCE = {"beijing", "table", "babi"}


@pytest.fixture(params=sorted(choices("data")))
def option(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[str, ...]]:
    """What an option needs to find its file, which is written once."""

    @cache
    def _files(option: str) -> tuple[str, ...]:
        if option not in NEEDS_FILE:
            return ()
        return tuple(NEEDS_FILE[option](tmp_path_factory.mktemp(option)))

    return _files


@cache
def composed(*overrides: str) -> DictConfig:
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("train", list(overrides))


@pytest.fixture
def make(option: str, files: Callable[[str], tuple[str, ...]]) -> Make:
    """The dataset as `attnlab train data=OPTION` would make it."""

    def _make(*overrides: str, small: bool = True) -> DataModule:
        plain = [f"data={option}", *files(option)]
        if small:
            usual = composed(*plain).data
            plain += [*(FEW if "num_train" in usual else []), *SMALL.get(option, [])]
            if "test_lengths" in usual:
                length = LENGTHS.get(option, "38-41")
                plain += [f"data.length={length}", f"data.test_lengths=[{length}]"]
        return instantiate(composed(*plain, *overrides).data, _convert_="all")

    return _make


def every_split(data: DataModule) -> tuple[str, ...]:
    return (*SPLITS, *data.further_tests)


def everything(data: DataModule, split: str) -> list[Batch]:
    return list(data.loader(split))


def rows(field: Tensor, real: Tensor) -> list[bytes]:
    """Each example's part of a field up to the last that is real: batches may be padded to different widths."""
    position = torch.arange(1, real.shape[1] + 1)
    ends = (real.flatten(2).any(-1) * position if real.dim() > 2 else real * position).amax(1).tolist()
    return [row[:end].tobytes() for row, end in zip(field.numpy(), ends, strict=True)]


def questions(batch: Batch) -> list[bytes]:
    """What each example asks a model."""
    inputs = rows(batch.inputs, batch.input_mask)
    if batch.question is None:
        return inputs
    return [b"|".join(both) for both in zip(inputs, rows(batch.question, batch.question != 0), strict=True)]


def identities(batch: Batch) -> list[bytes]:
    """Something that tells each example of a batch from others."""
    answers = [rows(field, batch.target_mask) for field in (batch.targets, batch.target_mask)]
    return [b"|".join(parts) for parts in zip(questions(batch), *answers, strict=True)]


def same(ours: list[Batch], theirs: list[Batch]) -> bool:
    return len(ours) == len(theirs) and all(
        (field is other is None) or (field is not None and other is not None and torch.equal(field, other))
        for batch, twin in zip(ours, theirs, strict=True)
        for field, other in zip(batch, twin, strict=True)
    )


@pytest.mark.parametrize("small", [True, False])
def test_the_first_batches_are_what_the_spec_says(make: Make, small: bool) -> None:
    data = make(*([] if small else ["data.batch_size=3"]), small=small)
    spec = data.spec
    for split in every_split(data) if small else ["val"]:
        batch = next(iter(data.loader(split)))
        assert 0 < batch.num_examples <= data.batch_size
        assert batch.inputs.shape[:2] == batch.input_mask.shape
        assert batch.inputs.shape[1] <= spec.max_length
        assert batch.input_mask.dtype == batch.target_mask.dtype == torch.bool
        assert_inputs(batch, spec.input)
        assert_targets(batch, spec.output)
        assert (batch.question is None) == (spec.question is None)
        if batch.question is not None and spec.question is not None:
            assert batch.question.dtype == torch.int64
            assert batch.question.shape[0] == batch.num_examples
            assert (batch.question[:, 0] > 0).all()
            assert batch.question.max() < spec.question.vocab_size


def assert_inputs(batch: Batch, kind: object) -> None:
    if isinstance(kind, Tokens | Sentences):
        assert batch.inputs.dtype == torch.int64
        assert batch.inputs.min() >= 0
        assert batch.inputs.max() < kind.vocab_size
        words = batch.inputs if isinstance(kind, Tokens) else batch.inputs[..., 0]
        assert torch.equal(words != 0, batch.input_mask)
        assert isinstance(kind, Tokens) or batch.inputs.shape[2:] == (kind.max_words,)
    else:
        assert isinstance(kind, Series | Points)
        assert batch.inputs.dtype == torch.float32
        assert batch.inputs.shape[2:] == (kind.channels if isinstance(kind, Series) else kind.dims,)
        assert batch.inputs.isfinite().all()
    assert not batch.inputs[~batch.input_mask].any()


def assert_targets(batch: Batch, output: object) -> None:
    assert batch.targets.shape == batch.target_mask.shape
    assert not batch.targets[~batch.target_mask].any()
    if isinstance(output, Forecast | Number):
        size = (output.horizon, len(output.target_channels)) if isinstance(output, Forecast) else (1, 1)
        assert batch.targets.dtype == torch.float32
        assert batch.targets.shape[1:] == size
        assert batch.targets.isfinite().all()
        assert isinstance(output, Forecast) or batch.target_mask.all()
        return
    assert batch.targets.dtype == torch.int64
    assert batch.targets.min() >= (END_OF_POINTERS if ends(output) else 0)
    if isinstance(output, Label):
        assert batch.targets.shape[1:] == (1,)
        assert batch.target_mask.all()
        assert batch.targets.max() < output.num_classes
    elif isinstance(output, StepLabels):
        assert batch.targets.shape == batch.input_mask.shape
        assert batch.target_mask.any(1).all()
        assert not (batch.target_mask & ~batch.input_mask).any()
        assert batch.targets.max() < output.num_classes
    elif isinstance(output, TokenSequence):
        assert batch.targets.shape[1] <= output.max_length
        assert torch.equal(batch.targets != 0, batch.target_mask)
        assert batch.targets.max() < output.vocab_size
    else:
        assert isinstance(output, PointerSequence)
        assert batch.targets.shape[1] <= output.max_length
        for order, mask, points in zip(batch.targets, batch.target_mask, batch.input_mask, strict=True):
            positions, every = order[mask].tolist(), set(range(int(points.sum())))
            if output.ends:
                assert positions.pop() == END_OF_POINTERS
                assert set(positions) <= every
            else:
                assert set(positions) == every
            assert output.needs_repeats or len(set(positions)) == len(positions)


def ends(output: object) -> bool:
    return isinstance(output, PointerSequence) and output.ends


def test_no_input_of_any_split_is_longer_than_the_spec_says(make: Make) -> None:
    data = make()
    batches = [batch for split in every_split(data) for batch in everything(data, split)]
    longest = max(int(batch.input_mask.sum(1).max()) for batch in batches)
    if isinstance(data, Toy):  # made of many short examples, so the longest is among them
        assert longest == data.spec.max_length
    assert longest <= data.spec.max_length
    if isinstance(data.spec.output, TokenSequence | PointerSequence):
        assert max(int(batch.target_mask.sum(1).max()) for batch in batches) <= data.spec.output.max_length


def test_padding_stands_on_the_right(make: Make) -> None:
    data = make()
    masks = [batch.input_mask for batch in everything(data, "val")]
    if not isinstance(data.spec.output, Forecast | StepLabels):  # a target may be missing anywhere there
        masks += [batch.target_mask for batch in everything(data, "val")]
    for mask in masks:
        assert mask[:, 0].all()
        assert not (mask[:, 1:] & ~mask[:, :-1]).any()


def test_the_example_spec_is_of_the_same_kinds(make: Make) -> None:
    data = make()
    assert data.example_spec.kinds == data.spec.kinds
    for spec in (data.spec, data.example_spec):
        if isinstance(spec.output, Forecast):
            assert isinstance(spec.input, Series)
            assert max(spec.output.target_channels) < spec.input.channels
        if isinstance(spec.output, PointerSequence):
            assert isinstance(spec.input, Points)
            assert spec.output.ends or spec.output.max_length == spec.max_length


def test_an_example_without_data_is_shaped_like_the_data(make: Make) -> None:
    data = make()
    batch, example = next(iter(data.loader("val"))), data.spec.example(batch_size=2)
    for field, made_up in zip(batch, example, strict=True):
        assert (field is None) == (made_up is None)
        if field is not None and made_up is not None:
            assert field.dtype == made_up.dtype
            assert field.dim() == made_up.dim()
            assert field.shape[2:] == made_up.shape[2:]


def test_no_example_is_in_two_splits(make: Make) -> None:
    data = make()
    seen = {
        split: [name for batch in everything(data, split) for name in questions(batch)] for split in every_split(data)
    }
    for split in SPLITS:
        assert len(set(seen[split])) == len(data.source(split))
    assert not set(seen["val"]) & set(seen["test"])
    for split in every_split(data)[1:]:
        assert not set(seen["train"]) & set(seen[split])


def test_further_tests_are_as_large_as_the_test_part(make: Make) -> None:
    data = make()
    assert all(len(data.source(split)) == len(data.source("test")) for split in data.further_tests)


def test_an_epoch_of_training_shows_every_example_once_and_not_in_order(make: Make) -> None:
    data = make()
    source = data.source("train")
    in_order = identities(source[np.arange(len(source))])
    shown = [name for batch in everything(data, "train") for name in identities(batch)]
    assert Counter(shown) == Counter(in_order)
    assert shown != in_order


@pytest.mark.parametrize("split", ["val", "test"])
def test_validation_and_test_show_every_example_in_order(make: Make, split: str) -> None:
    data = make()
    source = data.source(split)
    batches = everything(data, split)
    assert [batch.num_examples for batch in batches[:-1]] == [data.batch_size] * (len(batches) - 1)
    shown = [name for batch in batches for name in identities(batch)]
    assert shown == identities(source[np.arange(len(source))])


def test_the_same_seed_makes_the_same_batches(make: Make) -> None:
    first, second = make("seed=5"), make("seed=5")
    for split in every_split(first):
        assert same(everything(first, split), everything(second, split))


def test_another_seed_makes_other_batches_but_leaves_a_fixed_split_in_order(make: Make, option: str) -> None:
    first, second = make("seed=5"), make("seed=6")
    for split in every_split(first):
        fixed = split != "train" and option in SPLIT_WITHOUT_CHANCE
        assert same(everything(first, split), everything(second, split)) == fixed


def judged(data: DataModule, answer: Callable[[Batch], Tensor], split: str = "val") -> dict[str, float]:
    metric = data.metric()
    for batch in everything(data, split):
        metric.update(answer(batch), batch)
    return {name: value.item() for name, value in metric.compute().items()}


def test_the_true_targets_are_a_perfect_answer(make: Make) -> None:
    data = make()
    result = judged(data, lambda batch: batch.targets)
    perfect = {"accuracy": 1.0, "exact_match": 1.0, "solved": 1.0, "gap": 0.0, "mae": 0.0, "mse": 0.0}
    perfect |= {"area_coverage": 1.0, "triangle_coverage": 1.0, "invalid": 0.0}
    found = {name: value for name, value in result.items() if name.split("/")[0].removesuffix("_raw") in perfect}
    assert found == {name: perfect[name.split("/")[0].removesuffix("_raw")] for name in found}
    assert data.key_metric in found


def test_each_baseline_answers_in_the_shape_of_the_targets_and_can_be_beaten(make: Make) -> None:
    data = make()
    baselines = data.baselines()
    assert len(baselines) >= 2
    for name, baseline in baselines.items():
        for batch in everything(data, "val"):
            answer = baseline(batch)
            if ends(data.spec.output):  # where it likes
                assert answer.shape[0] == batch.num_examples
                assert (answer == END_OF_POINTERS).any(1).all()
            else:
                assert answer.shape == batch.targets.shape
            assert answer.dtype == batch.targets.dtype
        result = judged(data, baseline)
        assert all(np.isfinite(value) for value in result.values())
        score = result[data.key_metric]
        assert score > 0 if data.key_mode == "min" else score < 1
        assert data.describe(name)


def test_the_labels_of_a_picture_are_as_many_as_there_are_positions(make: Make) -> None:
    data = make()
    source = data.source("val")
    for index in range(3):
        batch = source[np.array([index])]
        positions = int(batch.input_mask.sum())
        assert len(data.input_labels("val", index)) == positions
        steps = {Forecast: batch.targets.shape[1], StepLabels: positions}.get(type(data.spec.output))
        expected = steps or int(batch.target_mask.sum())
        assert len(data.answer_labels("val", index, batch.targets[0])) == expected


def test_a_file_has_a_fingerprint_and_generated_data_have_none(make: Make, option: str) -> None:
    fingerprint = make().fingerprint()
    assert (fingerprint is not None) == (option in HAS_FILE)
    assert fingerprint == make().fingerprint()
