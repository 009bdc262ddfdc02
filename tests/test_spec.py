from __future__ import annotations

import pytest
import torch

from attnlab.spec import DataSpec, Forecast, PointerSequence, Points, Series, Tokens, TokenSequence

SERIES = DataSpec(Series(5), Forecast(3, (0, 4)), max_length=11)
TOKENS = DataSpec(Tokens(13), TokenSequence(17, 12), max_length=11)
POINTS = DataSpec(Points(2), PointerSequence(11), max_length=11)
PADDED = pytest.mark.parametrize("spec", [TOKENS, POINTS], ids=["tokens", "points"])


def test_an_example_of_a_series_has_windows_without_padding_and_every_target() -> None:
    example = SERIES.example(2, 7)
    assert example.inputs.shape == (2, 7, 5)
    assert example.targets.shape == (2, 3, 2)
    assert example.input_mask.all()
    assert example.target_mask.shape == (2, 3, 2)
    assert example.target_mask.all()


@PADDED
def test_the_last_example_is_padded_by_one(spec: DataSpec) -> None:
    example = spec.example(3, 7)
    assert example.input_mask.sum(1).tolist() == [7, 7, 6]
    assert not example.inputs[2, 6].any()
    assert torch.equal(example.target_mask, example.input_mask)
    assert example.targets[2, 6] == 0


def test_tokens_are_below_the_size_of_their_vocabulary_and_never_padding() -> None:
    example = TOKENS.example(200, 11)
    inputs, targets = example.inputs[example.input_mask], example.targets[example.target_mask]
    assert inputs.unique().tolist() == list(range(1, 13))
    assert targets.unique().tolist() == list(range(1, 17))


def test_a_made_up_tour_visits_each_real_point_once() -> None:
    example = POINTS.example(4, 7)
    orders = [tour[real].tolist() for tour, real in zip(example.targets, example.target_mask, strict=True)]
    assert [sorted(order) for order in orders] == [list(range(7))] * 3 + [list(range(6))]
    assert len({tuple(order) for order in orders}) == 4


def test_a_single_position_is_padded_no_further() -> None:
    example = POINTS.example(2, 1)
    assert example.input_mask.tolist() == [[True], [True]]


@pytest.mark.parametrize(("asked", "given"), [(None, 11), (7, 7), (29, 11)])
def test_no_example_is_longer_than_the_data(asked: int | None, given: int) -> None:
    assert SERIES.example(2, asked).inputs.shape[1] == given


@pytest.mark.parametrize("spec", [SERIES, TOKENS, POINTS], ids=["series", "tokens", "points"])
def test_the_same_seed_makes_the_same_example_and_leaves_the_random_state_alone(spec: DataSpec) -> None:
    before = torch.get_rng_state()
    first, again, other = spec.example(seed=1), spec.example(seed=1), spec.example(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.inputs, other.inputs)
    assert not torch.equal(first.targets, other.targets)


def test_a_set_of_points_has_no_order_and_the_rest_has() -> None:
    assert (Series(5).ordered, Tokens(13).ordered, Points().ordered) == (True, True, False)
