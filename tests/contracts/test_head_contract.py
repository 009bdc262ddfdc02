"""What holds for every head, with every attention that it can have."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn.functional import pad

from attnlab.batch import Batch
from attnlab.config import choices, conf_dir
from attnlab.encoders import Encoded
from attnlab.heads import Head
from attnlab.matrix import DIM, Combination
from attnlab.spec import DataSpec, Forecast, PointerSequence, TokenSequence

LENGTHS = [7, 4, 1]


def class_of(group: str, name: str) -> Any:
    return get_class(OmegaConf.load(conf_dir() / group / f"{name}.yaml")._target_)


def usual_heads() -> dict[str, str]:
    """Head → a dataset whose usual head it is."""
    found = {}
    for data in choices("data"):
        for default in OmegaConf.load(conf_dir() / "data" / f"{data}.yaml").defaults:
            found[default["override /head@_global_.head"]] = data
    return found


def cases() -> list[tuple[str, str]]:
    return [
        (head, attention)
        for head in choices("head")
        for attention in choices("attention")
        if not class_of("head", head).predicts_weights or class_of("attention", attention).uses_content
    ]


@pytest.fixture(params=cases(), ids="-".join)
def cell(request: pytest.FixtureRequest, cell_of: Any) -> Combination:
    head, attention = request.param
    found: Combination = cell_of(data=usual_heads()[head], head=head, attention=attention)
    return found


@pytest.fixture
def head(cell: Combination, part_of: Any) -> Head:
    built: Head = part_of("head", **cell.choices)(cell.spec.output, DIM)
    return built.double().eval()


def batch_of(spec: DataSpec) -> Batch:
    """An example of each length, padded on the right; windows of a series are never padded."""
    lengths = [7, 7, 7] if isinstance(spec.output, Forecast) else LENGTHS
    rows = [[field[:1] for field in spec.example(2, length, seed=length + row)] for row, length in enumerate(lengths)]
    joined = []
    for fields in zip(*rows, strict=True):
        longest = max(field.shape[1] for field in fields)
        field = torch.cat([pad(field, [0, 0] * (field.ndim - 2) + [0, longest - field.shape[1]]) for field in fields])
        joined.append(field.double() if field.is_floating_point() else field)
    return Batch(*joined)


def encoded_with(padding: float) -> Encoded:
    generator = torch.Generator().manual_seed(5)
    mask = torch.arange(7) < torch.tensor(LENGTHS)[:, None]
    states = torch.randn(3, 7, DIM, dtype=torch.float64, generator=generator)
    final = torch.randn(3, DIM, dtype=torch.float64, generator=generator)
    return Encoded(states.where(mask[..., None], padding), mask, final)


def loss_of(head: Head, batch: Batch) -> Tensor:
    return head.loss(head(encoded_with(0), batch.inputs, batch.targets), batch)


def gradients(head: Head, batch: Batch) -> dict[str, Tensor]:
    head.zero_grad()
    loss_of(head, batch).backward()
    return {name: parameter.grad.clone() for name, parameter in head.named_parameters() if parameter.grad is not None}


def test_every_head_is_the_usual_one_of_some_data() -> None:
    assert set(usual_heads()) == set(choices("head"))


def test_teacher_forced_there_is_a_prediction_for_each_target(cell: Combination, head: Head) -> None:
    batch = batch_of(cell.spec)
    predictions = head(encoded_with(0), batch.inputs, batch.targets)
    assert predictions.shape[:2] == batch.targets.shape[:2]
    assert head.decode(predictions).shape == batch.targets.shape
    if head.feeds_back:
        shorter = head(encoded_with(0), batch.inputs, batch.targets[:, :-2])
        assert shorter.shape[1] == batch.targets.shape[1] - 2


def test_on_its_own_it_answers_with_everything_that_the_data_ask_for(cell: Combination, head: Head) -> None:
    batch, output = batch_of(cell.spec), cell.spec.output
    answer = head.decode(head.generate(encoded_with(0), batch.inputs))
    if isinstance(output, Forecast):
        assert answer.shape == (3, output.horizon, len(output.target_channels))
    elif isinstance(output, TokenSequence):
        assert answer.shape == (3, output.max_length)
    else:
        assert answer.shape == (3, 7)  # the input's own length


def test_an_answer_is_one_that_the_data_could_have_given(cell: Combination, head: Head) -> None:
    batch, output = batch_of(cell.spec), cell.spec.output
    answer = head.decode(head.generate(encoded_with(1e3), batch.inputs))
    if isinstance(output, Forecast):
        assert answer.is_floating_point()
        assert answer.isfinite().all()
    elif isinstance(output, TokenSequence):
        assert answer.dtype == torch.long
        assert 1 <= answer.min() <= answer.max() < output.vocab_size
    elif isinstance(output, PointerSequence):
        for order, length in zip(answer.tolist(), LENGTHS, strict=True):
            assert sorted(order[:length]) == list(range(length))


def test_the_loss_is_a_finite_number_that_falls(cell: Combination, head: Head) -> None:
    batch = batch_of(cell.spec)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = loss_of(head, batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert loss.shape == ()
    assert all(0 <= value < 100 for value in losses)
    assert losses[-1] < 0.7 * losses[0]


def test_a_missing_target_changes_neither_loss_nor_gradient(cell: Combination, head: Head) -> None:
    batch = batch_of(cell.spec)
    mask = batch.target_mask.clone()
    if isinstance(cell.spec.output, Forecast):
        mask[0, 1] = mask[1, :, 0] = False  # a step, a channel
        garbage = [torch.nan, torch.inf, 1e9]
    else:
        assert not mask.all()
        garbage = [0, 3, 5]  # whatever an item or a token may be
    outcomes = []
    for value in garbage:
        spoilt = Batch(batch.inputs, batch.input_mask, batch.targets.masked_fill(~mask, value), mask)
        outcomes.append((loss_of(head, spoilt), gradients(head, spoilt)))
    for loss, gradient in outcomes[1:]:
        assert torch.equal(loss, outcomes[0][0])
        torch.testing.assert_close(gradient, outcomes[0][1])
    assert all(gradient.isfinite().all() for gradient in outcomes[0][1].values())


def test_a_batch_without_any_target_costs_nothing(cell: Combination, head: Head) -> None:
    batch = batch_of(cell.spec)
    empty = Batch(batch.inputs, batch.input_mask, batch.targets, torch.zeros_like(batch.target_mask))
    assert loss_of(head, empty).item() == 0
    assert not any(gradient.any() for gradient in gradients(head, empty).values())


def test_what_stands_in_padding_changes_no_answer(cell: Combination, head: Head) -> None:
    batch = batch_of(cell.spec)
    quiet = head.generate(encoded_with(0), batch.inputs)
    loud = head.generate(encoded_with(1e3), batch.inputs)
    for row, length in enumerate(LENGTHS):
        # A pointer has answered after as many steps as there are items; what follows means nothing.
        steps = length if isinstance(cell.spec.output, PointerSequence) else quiet.shape[1]
        torch.testing.assert_close(loud[row, :steps], quiet[row, :steps])


def test_a_batch_equals_its_items_alone(cell: Combination, head: Head) -> None:
    batch, encoded = batch_of(cell.spec), encoded_with(1e3)
    together = head.generate(encoded, batch.inputs)
    for row, length in enumerate(LENGTHS):
        only = slice(row, row + 1)
        unpadded = Encoded(encoded.states[only, :length], encoded.mask[only, :length], encoded.final[only])
        alone = head.generate(unpadded, batch.inputs[only])[0]
        if isinstance(cell.spec.output, PointerSequence):
            torch.testing.assert_close(together[row, :length, :length], alone)
        else:
            torch.testing.assert_close(together[row], alone)
