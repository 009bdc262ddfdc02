"""What holds for every head, with every attention that it can have and every kind of output that it predicts."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn.functional import pad

from attnlab.batch import Batch
from attnlab.config import choices, conf_dir, register_resolvers
from attnlab.encoders import Encoded
from attnlab.heads import Head
from attnlab.matrix import DIM
from attnlab.spec import (
    END,
    END_OF_POINTERS,
    DataSpec,
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

LENGTHS = [7, 4, 1]
#: One dataset for each kind of output, and one that asks a question.
SPECS = {
    "forecast": DataSpec(Series(5), Forecast(3, (4, 1)), max_length=7),
    "label": DataSpec(Tokens(13), Label(6), max_length=7),
    "question": DataSpec(Sentences(13, 4), Label(6), max_length=7, question=Tokens(13)),
    "number": DataSpec(Series(2), Number(), max_length=7),
    "step_labels": DataSpec(Tokens(13), StepLabels(6), max_length=7),
    "tokens": DataSpec(Tokens(13), TokenSequence(13, 9), max_length=7),
    "pointers": DataSpec(Points(2), PointerSequence(7), max_length=7),
    "ending": DataSpec(Points(2), PointerSequence(8, can_judge_repeats=True, ends=True), max_length=7),
    "repeating": DataSpec(
        Points(2), PointerSequence(11, can_judge_repeats=True, ends=True, needs_repeats=True), max_length=7
    ),
}
#: Options that make another head of one.
VARIANTS = {
    "luong": ("seq2seq", {"style": "luong"}),
    "feeding": ("seq2seq", {"style": "luong", "input_feeding": True, "cell": "lstm"}),
    "beam": ("seq2seq", {"beam_size": 3, "length_penalty": 0.6}),
    "glimpse": ("pointer", {"num_glimpses": 1}),
    "learned": ("pool", {"query": "learned"}),
}
#: One attention of each kind, for the test that trains: tests/contracts/test_combinations.py has all of them.
FEW = ("additive", "bilinear", "last", "none")
Recipes = Callable[[str, str], Callable[..., Head]]


@cache
def class_of(group: str, name: str) -> Any:
    return get_class(OmegaConf.load(conf_dir() / group / f"{name}.yaml")._target_)


def head_of(variant: str) -> str:
    return VARIANTS[variant][0] if variant in VARIANTS else variant


def kinds_of(variant: str) -> list[str]:
    head = class_of("head", head_of(variant))
    kinds = [kind for kind, spec in SPECS.items() if isinstance(spec.output, head.accepts) and spec.question is None]
    if variant == "learned":
        return ["label"]
    return [*kinds, "question"] if head.answers_questions else kinds


def cases() -> list[tuple[str, str, str]]:
    return [
        (variant, attention, kind)
        for variant in [*choices("head"), *VARIANTS]
        if not class_of("head", head_of(variant)).needs_variables  # their states are never padded: see tests/heads
        for attention in choices("attention")
        if not class_of("head", head_of(variant)).predicts_weights or class_of("attention", attention).uses_content
        for kind in kinds_of(variant)
    ]


@pytest.fixture(scope="module")
def recipe_of() -> Recipes:
    """A head (or a variant of one) and an attention → the head's recipe, as Hydra makes it."""
    register_resolvers()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        heads = {name: compose("train", overrides=[f"head={name}"]).head for name in choices("head")}
        attentions = {
            name: compose("train", overrides=[f"attention={name}"]).attention for name in choices("attention")
        }

    def make(variant: str, attention: str) -> Callable[..., Head]:
        name, options = VARIANTS.get(variant, (variant, {}))
        nodes = OmegaConf.create({"dim": DIM, "seed": 1, "attention": attentions[attention], "head": heads[name]})
        nodes.head.update(options)
        recipe: Callable[..., Head] = instantiate(nodes.head, _convert_="all")
        return recipe

    return make


@pytest.fixture(params=cases(), ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    found: tuple[str, str, str] = request.param
    return found


@pytest.fixture
def spec(case: tuple[str, str, str]) -> DataSpec:
    return SPECS[case[2]]


@pytest.fixture
def head(case: tuple[str, str, str], spec: DataSpec, recipe_of: Recipes) -> Head:
    variant, attention, _ = case
    asked = {} if spec.question is None else {"question_dim": DIM}
    return recipe_of(variant, attention)(spec.output, DIM, **asked).double().eval()


def batch_of(spec: DataSpec) -> Batch:
    """An example of each length, padded on the right; windows of a series are never padded."""
    lengths = [7, 7, 7] if isinstance(spec.output, Forecast) else LENGTHS
    rows = [
        spec.example(2, length, seed=length + row).each(lambda field: field[:1]) for row, length in enumerate(lengths)
    ]
    joined = []
    for fields in zip(*rows, strict=True):
        if fields[0] is None:
            continue
        longest = max(field.shape[1] for field in fields)
        field = torch.cat([pad(field, [0, 0] * (field.ndim - 2) + [0, longest - field.shape[1]]) for field in fields])
        joined.append(field.double() if field.is_floating_point() else field)
    return Batch(*joined)


def encoded_with(padding: float) -> Encoded:
    generator = torch.Generator().manual_seed(5)
    mask = torch.arange(7) < torch.tensor(LENGTHS)[:, None]
    states = torch.randn(3, 7, DIM, dtype=torch.float64, generator=generator)
    final, question = torch.randn(2, 3, DIM, dtype=torch.float64, generator=generator)
    return Encoded(states.where(mask[..., None], padding), mask, final, question)


def ends(spec: DataSpec) -> bool:
    return isinstance(spec.output, PointerSequence) and spec.output.ends


def loss_of(head: Head, batch: Batch) -> Tensor:
    return head.loss(head(encoded_with(0), batch.inputs, batch.targets), batch)


def gradients(head: Head, batch: Batch) -> dict[str, Tensor]:
    head.zero_grad()
    loss_of(head, batch).backward()
    return {name: parameter.grad.clone() for name, parameter in head.named_parameters() if parameter.grad is not None}


def test_every_head_predicts_something_and_everything_is_predicted_by_some_head() -> None:
    predicted = [kinds_of(head) for head in choices("head")]
    assert all(predicted)
    assert {kind for kinds in predicted for kind in kinds} == set(SPECS)


def test_the_usual_head_of_each_dataset_predicts_what_it_asks_for() -> None:
    for data in choices("data"):
        for default in OmegaConf.load(conf_dir() / "data" / f"{data}.yaml").defaults:
            if "override /head@_global_.head" in default:
                head = class_of("head", default["override /head@_global_.head"])
                example = class_of("data", data).example_spec
                assert isinstance(example.output, head.accepts), data
                assert example.question is None or head.answers_questions, data


def test_teacher_forced_there_is_a_prediction_for_each_target(spec: DataSpec, head: Head) -> None:
    batch = batch_of(spec)
    predictions = head(encoded_with(0), batch.inputs, batch.targets)
    assert predictions.shape[:2] == batch.targets.shape[:2]
    assert head.decode(predictions).shape == batch.targets.shape
    if head.feeds_back:
        shorter = head(encoded_with(0), batch.inputs, batch.targets[:, :-2])
        assert shorter.shape[1] == batch.targets.shape[1] - 2


def test_on_its_own_it_answers_with_everything_that_the_data_ask_for(spec: DataSpec, head: Head) -> None:
    answer = head.decode(head.generate(encoded_with(0), batch_of(spec).inputs))
    if isinstance(spec.output, Forecast):
        assert answer.shape == (3, spec.output.horizon, len(spec.output.target_channels))
    elif isinstance(spec.output, TokenSequence) or ends(spec):
        assert len(answer) == 3
        assert 1 <= answer.shape[1] <= spec.output.max_length
        ended = (answer == (END_OF_POINTERS if ends(spec) else END)).any(1).all()
        assert ended or answer.shape[1] == spec.output.max_length
    else:
        shapes = {Label: (3, 1), Number: (3, 1, 1), StepLabels: (3, 7), PointerSequence: (3, 7)}
        assert answer.shape == shapes[type(spec.output)]


def test_an_answer_is_one_that_the_data_could_have_given(spec: DataSpec, head: Head) -> None:
    output = spec.output
    answer = head.decode(head.generate(encoded_with(1e3), batch_of(spec).inputs))
    if isinstance(output, Forecast | Number):
        assert answer.is_floating_point()
        assert answer.isfinite().all()
        return
    assert answer.dtype == torch.long
    if isinstance(output, Label | StepLabels):
        assert 0 <= answer.min() <= answer.max() < output.num_classes
    elif isinstance(output, TokenSequence):
        for said in answer.tolist():
            end = said.index(END) if END in said else len(said)
            assert all(1 < token < output.vocab_size for token in said[:end])
            assert not any(said[end + 1 :])
    elif ends(spec):
        for said, length in zip(answer.tolist(), LENGTHS, strict=True):
            end = said.index(END_OF_POINTERS) if END_OF_POINTERS in said else len(said)
            assert all(0 <= position < length for position in said[:end])
            assert len(set(said[:end])) == end or output.needs_repeats
            assert set(said[end:]) <= {END_OF_POINTERS}
    else:
        for order, length in zip(answer.tolist(), LENGTHS, strict=True):
            assert sorted(order[:length]) == list(range(length))


@pytest.mark.parametrize("case", [case for case in cases() if case[1] in FEW], ids="-".join, indirect=True)
def test_the_loss_is_a_finite_number_that_falls(spec: DataSpec, head: Head) -> None:
    batch = batch_of(spec)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = loss_of(head, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert loss.shape == ()
    assert all(0 <= value < 100 for value in losses)
    assert losses[-1] < 0.95 * losses[0]  # glimpses of nearly uniform weights learn slowly


def test_a_missing_target_changes_neither_loss_nor_gradient(spec: DataSpec, head: Head) -> None:
    batch = batch_of(spec)
    mask = batch.target_mask.clone()
    garbage: list[float] = [0, 3, 5]  # whatever an item, a class or a token may be
    if isinstance(spec.output, Forecast):
        mask[0, 1] = mask[1, :, 0] = False  # a step, a channel
    elif isinstance(spec.output, Label | Number):
        mask[1] = False
    if batch.targets.is_floating_point():
        garbage = [torch.nan, torch.inf, 1e9]
    assert mask.any()
    assert not mask.all()
    outcomes = []
    for value in garbage:
        spoilt = batch._replace(targets=batch.targets.masked_fill(~mask, value), target_mask=mask)
        outcomes.append((loss_of(head, spoilt), gradients(head, spoilt)))
    for loss, gradient in outcomes[1:]:
        assert torch.equal(loss, outcomes[0][0])
        torch.testing.assert_close(gradient, outcomes[0][1])
    assert all(gradient.isfinite().all() for gradient in outcomes[0][1].values())


def test_a_batch_without_any_target_costs_nothing(spec: DataSpec, head: Head) -> None:
    batch = batch_of(spec)
    empty = batch._replace(target_mask=torch.zeros_like(batch.target_mask))
    assert loss_of(head, empty).item() == 0
    assert not any(gradient.any() for gradient in gradients(head, empty).values())


def num_steps(spec: DataSpec, predictions: Tensor, head: Head, row: int) -> int:
    """How many of a row's predictions mean something."""
    if ends(spec):
        answer = head.decode(predictions)[row]
        return min(len(answer), int((answer != END_OF_POINTERS).sum()) + 1)
    if isinstance(spec.output, PointerSequence | StepLabels):
        return LENGTHS[row]  # a pointer has answered after as many steps as there are items
    if isinstance(spec.output, TokenSequence):
        return int((head.decode(predictions)[row] > 0).sum())
    return predictions.shape[1]


def test_what_stands_in_padding_changes_no_answer(spec: DataSpec, head: Head) -> None:
    batch = batch_of(spec)
    quiet = head.generate(encoded_with(0), batch.inputs)
    loud = head.generate(encoded_with(1e3), batch.inputs)
    for row in range(3):
        steps = num_steps(spec, quiet, head, row)
        torch.testing.assert_close(loud[row, :steps], quiet[row, :steps])


def test_a_batch_equals_its_items_alone(spec: DataSpec, head: Head) -> None:
    batch, encoded = batch_of(spec), encoded_with(1e3)
    together = head.generate(encoded, batch.inputs)
    for row, length in enumerate(LENGTHS):
        only = slice(row, row + 1)
        assert encoded.question is not None
        unpadded = Encoded(
            encoded.states[only, :length], encoded.mask[only, :length], encoded.final[only], encoded.question[only]
        )
        alone = head.generate(unpadded, batch.inputs[only])[0]
        steps = num_steps(spec, together, head, row)
        if isinstance(spec.output, PointerSequence):
            alone = pad(alone, (0, 7 - length), value=-torch.inf)
        torch.testing.assert_close(together[row, :steps], alone[:steps])
