"""What holds for every option of conf/data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate

from attnlab.batch import Batch
from attnlab.config import choices, conf_dir, register_resolvers
from attnlab.data import DataModule, Forecasting
from attnlab.spec import Forecast, PointerSequence, Points, Series, Tokens, TokenSequence

SPLITS = ("train", "val", "test")
#: Sizes that make a test quick. An option that is not named here is taken as it comes.
SMALL = {
    "beijing": ["data.lookback=24", "data.horizon=5", "data.batch_size=1024"],
    # twelve symbols out of ten: chance does not draw the same sequence twice
    "reverse": ["data.length=12-13", "data.num_train=211", "data.num_val=31", "data.num_test=37", "data.batch_size=17"],
    "tsp": ["data.num_points=4-7", "data.num_train=211", "data.num_val=31", "data.num_test=37", "data.batch_size=17"],
    "table": ["data.lookback=11", "data.horizon=5", "data.season=7", "data.batch_size=17"],
}
Make = Callable[..., DataModule]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's measurements: two numeric columns with gaps, and one of names."""
    random = np.random.default_rng(0)
    lines = ["when,load,heat,day"]
    for hour in range(307):
        load, heat = random.normal([3 * (hour % 7), 50], [1, 9]).round(3).tolist()
        shown = ["" if random.random() < 0.05 else str(value) for value in (load, heat)]
        lines.append(f"{datetime(2020, 1, 1) + timedelta(hours=hour)},{','.join(shown)},{'ab'[hour // 24 % 2]}")
    path = tmp_path_factory.mktemp("measurements") / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(params=sorted(choices("data")))
def option(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def make(option: str, table: Path) -> Make:
    """The dataset as `attnlab train data=OPTION` would make it."""

    def _make(*overrides: str, small: bool = True) -> DataModule:
        register_resolvers()
        GlobalHydra.instance().clear()
        needed = [f"data.path={table}", "data.time=when", "data.categorical=[day]"] if option == "table" else []
        usual = SMALL.get(option, []) if small else []
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            cfg = compose("train", [f"data={option}", *needed, *usual, *overrides])
        return instantiate(cfg.data, _convert_="all")

    return _make


def everything(data: DataModule, split: str) -> list[Batch]:
    return list(data.loader(split))  # type: ignore[arg-type]


def identities(batch: Batch) -> list[bytes]:
    """Something that tells each example of a batch from others."""
    fields = [field.flatten(1).numpy() for field in batch]
    return [b"|".join(field[example].tobytes() for field in fields) for example in range(batch.num_examples)]


def same(ours: list[Batch], theirs: list[Batch]) -> bool:
    return len(ours) == len(theirs) and all(
        torch.equal(field, other)
        for batch, twin in zip(ours, theirs, strict=True)
        for field, other in zip(batch, twin, strict=True)
    )


@pytest.mark.parametrize("small", [True, False])
def test_the_first_batches_are_what_the_spec_says(make: Make, small: bool) -> None:
    data = make(*([] if small else ["data.batch_size=3"]), small=small)
    spec = data.spec
    for split in SPLITS if small else ["val"]:
        batch = next(iter(data.loader(split)))
        assert 0 < batch.num_examples <= data.batch_size
        assert batch.inputs.shape[:2] == batch.input_mask.shape
        assert batch.inputs.shape[1] == spec.max_length
        if isinstance(spec.input, Tokens):
            assert batch.inputs.dtype == torch.int64
            assert torch.equal(batch.inputs != 0, batch.input_mask)
            assert batch.inputs.max() < spec.input.vocab_size
        else:
            width = spec.input.channels if isinstance(spec.input, Series) else spec.input.dims
            assert batch.inputs.dtype == torch.float32
            assert batch.inputs.shape[2:] == (width,)
            assert batch.inputs.isfinite().all()
            assert not batch.inputs[~batch.input_mask].any()
        assert_targets(batch, spec.output)


def assert_targets(batch: Batch, output: object) -> None:
    assert batch.targets.shape == batch.target_mask.shape
    assert not batch.targets[~batch.target_mask].any()
    if isinstance(output, Forecast):
        assert batch.targets.dtype == torch.float32
        assert batch.targets.shape[1:] == (output.horizon, len(output.target_channels))
        assert batch.targets.isfinite().all()
        return
    assert isinstance(output, TokenSequence | PointerSequence)
    assert batch.targets.dtype == torch.int64
    assert batch.targets.shape[1] == output.max_length
    if isinstance(output, TokenSequence):
        assert torch.equal(batch.targets != 0, batch.target_mask)
        assert batch.targets.max() < output.vocab_size
    else:
        for tour, mask in zip(batch.targets, batch.target_mask, strict=True):
            assert sorted(tour[mask].tolist()) == list(range(int(mask.sum())))


def test_padding_stands_on_the_right(make: Make) -> None:
    data = make()
    masks = [batch.input_mask for batch in everything(data, "val")]
    if not isinstance(data.spec.output, Forecast):  # missing targets may be anywhere
        masks += [batch.target_mask for batch in everything(data, "val")]
    for mask in masks:
        assert mask[:, 0].all()
        assert not (mask[:, 1:] & ~mask[:, :-1]).any()


def test_the_example_spec_is_of_the_same_kinds(make: Make) -> None:
    data = make()
    for spec in (data.spec, data.example_spec):
        assert type(spec.input) is type(data.spec.input)
        assert type(spec.output) is type(data.spec.output)
        if isinstance(spec.output, Forecast):
            assert isinstance(spec.input, Series)
            assert max(spec.output.target_channels) < spec.input.channels
        if isinstance(spec.output, PointerSequence):
            assert isinstance(spec.input, Points)
            assert spec.output.max_length == spec.max_length


def test_an_example_without_data_is_shaped_like_the_data(make: Make) -> None:
    data = make()
    batch, example = next(iter(data.loader("val"))), data.spec.example(batch_size=2)
    for field, made_up in zip(batch, example, strict=True):
        assert field.dtype == made_up.dtype
        assert field.dim() == made_up.dim()
        assert field.shape[2:] == made_up.shape[2:]


def test_no_example_is_in_two_splits(make: Make) -> None:
    data = make()
    seen = {split: {name for batch in everything(data, split) for name in identities(batch)} for split in SPLITS}
    assert all(len(seen[split]) == len(data.source(split)) for split in SPLITS)
    assert not seen["train"] & seen["val"]
    assert not seen["train"] & seen["test"]
    assert not seen["val"] & seen["test"]


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
    for split in SPLITS:
        assert same(everything(first, split), everything(second, split))


def test_another_seed_makes_other_batches_and_leaves_measurements_in_order(make: Make) -> None:
    first, second = make("seed=5"), make("seed=6")
    measured = isinstance(first, Forecasting)
    assert not same(everything(first, "train"), everything(second, "train"))
    for split in ("val", "test"):
        assert same(everything(first, split), everything(second, split)) == measured


def test_the_true_targets_are_a_perfect_answer(make: Make) -> None:
    data = make()
    metric = data.metric()
    for batch in everything(data, "val"):
        metric.update(batch.targets, batch)
    result = {name: value.item() for name, value in metric.compute().items()}
    assert data.key_metric in result
    perfect = {"accuracy": 1.0, "exact_match": 1.0, "gap": 0.0}
    errors = {name: 0.0 for name in result if name.startswith(("mae", "mse"))}
    judged = {name: value for name, value in result.items() if name in perfect or name in errors}
    assert judged == {name: {**perfect, **errors}[name] for name in judged}
    assert data.key_metric in judged


def test_each_baseline_answers_in_the_shape_of_the_targets_and_can_be_beaten(make: Make) -> None:
    data = make()
    baselines = data.baselines()
    assert len(baselines) >= 2
    for name, baseline in baselines.items():
        metric = data.metric()
        for batch in everything(data, "val"):
            answer = baseline(batch)
            assert answer.shape == batch.targets.shape
            assert answer.dtype == batch.targets.dtype
            metric.update(answer, batch)
        result = {name: value.item() for name, value in metric.compute().items()}
        assert all(np.isfinite(value) for value in result.values())
        score = result[data.key_metric]
        assert score > 0 if data.key_mode == "min" else score < 1
        assert data.describe(name)


def test_a_file_has_a_fingerprint_and_generated_data_have_none(make: Make) -> None:
    data = make()
    fingerprint = data.fingerprint()
    assert (fingerprint is not None) == isinstance(data, Forecasting)
    assert fingerprint == make().fingerprint()
