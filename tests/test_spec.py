from __future__ import annotations

import pytest
import torch

from attnlab.spec import (
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

SERIES = DataSpec(Series(5), Forecast(3, (0, 4)), max_length=11)
TOKENS = DataSpec(Tokens(13), TokenSequence(17, 12), max_length=11)
POINTS = DataSpec(Points(2), PointerSequence(11), max_length=11)
LABEL = DataSpec(Tokens(13), Label(5), max_length=11)
NUMBER = DataSpec(Series(3), Number(), max_length=11)
STEPS = DataSpec(Tokens(13), StepLabels(7), max_length=11)
STORY = DataSpec(Sentences(13, 5, entities=(3, 4)), Label(7), max_length=11, question=Tokens(13))
EVERY = {
    "series": SERIES,
    "tokens": TOKENS,
    "points": POINTS,
    "label": LABEL,
    "number": NUMBER,
    "steps": STEPS,
    "story": STORY,
}
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


def test_a_made_up_answer_that_ends_names_some_real_points_and_then_the_end() -> None:
    example = DataSpec(Points(2), PointerSequence(8, ends=True), max_length=7).example(50, 7)
    lengths = set()
    for answer, real, points in zip(example.targets, example.target_mask, example.input_mask, strict=True):
        *named, end = answer[real].tolist()
        assert end == END_OF_POINTERS
        assert len(set(named)) == len(named) >= 1
        assert set(named) <= set(range(int(points.sum())))
        assert not answer[~real].any()
        lengths.add(len(named))
    assert lengths == set(range(1, 8))


def test_a_single_position_is_padded_no_further() -> None:
    example = POINTS.example(2, 1)
    assert example.input_mask.tolist() == [[True], [True]]


@pytest.mark.parametrize(("asked", "given"), [(None, 11), (7, 7), (29, 11)])
def test_no_example_is_longer_than_the_data(asked: int | None, given: int) -> None:
    assert SERIES.example(2, asked).inputs.shape[1] == given


@pytest.mark.parametrize("spec", EVERY.values(), ids=EVERY)
def test_the_same_seed_makes_the_same_example_and_leaves_the_random_state_alone(spec: DataSpec) -> None:
    before = torch.get_rng_state()
    first, again, other = spec.example(seed=1), spec.example(seed=1), spec.example(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.inputs, other.inputs)
    assert not torch.equal(first.targets, other.targets)


def test_a_set_of_points_has_no_order_and_the_rest_has() -> None:
    assert (Series(5).ordered, Tokens(13).ordered, Points().ordered) == (True, True, False)


@pytest.mark.parametrize("spec", [LABEL, NUMBER, STORY], ids=["label", "number", "story"])
def test_an_answer_to_the_whole_input_is_asked_for_even_where_the_input_is_padded(spec: DataSpec) -> None:
    example = spec.example(3, 7)
    assert example.input_mask.sum(1).tolist() == [7, 7, 6]
    assert example.targets.shape == (3, 1, 1) if isinstance(spec.output, Number) else (3, 1)
    assert example.target_mask.shape == example.targets.shape
    assert example.target_mask.all()


def test_made_up_labels_take_every_class() -> None:
    assert LABEL.example(200, 7).targets.unique().tolist() == list(range(5))
    steps = STEPS.example(200, 7)
    assert steps.targets[steps.target_mask].unique().tolist() == list(range(7))


def test_made_up_labels_of_steps_stand_where_the_input_is_real() -> None:
    example = STEPS.example(3, 7)
    assert torch.equal(example.target_mask, example.input_mask)
    assert example.targets[2, 6] == 0


def test_a_made_up_story_has_sentences_of_words_and_a_question() -> None:
    example = STORY.example(200, 7)
    assert example.inputs.shape == (200, 7, 5)
    assert not example.inputs[-1, 6].any()
    assert example.inputs[example.input_mask].unique().tolist() == list(range(1, 13))
    assert example.question is not None
    assert example.question.shape == (200, 3)
    assert example.question.unique().tolist() == list(range(1, 13))


def test_only_what_asks_a_question_has_one() -> None:
    asked = {name for name, spec in EVERY.items() if spec.example().question is not None}
    assert asked == {"story"}


def test_only_labels_of_steps_are_causal() -> None:
    assert {name for name, spec in EVERY.items() if spec.causal} == {"steps"}


def test_a_spec_says_what_it_asks_without_sizes() -> None:
    assert STEPS.kinds == "tokens → step labels"
    assert STORY.kinds == "sentences and a question → label"
    assert DataSpec(Tokens(99), StepLabels(3), max_length=2).kinds == STEPS.kinds
    ended = DataSpec(Points(2), PointerSequence(8, ends=True), max_length=7)
    assert (POINTS.kinds, ended.kinds) == ("points → pointer sequence", "points → pointer sequence with an end")


def test_a_made_up_question_has_no_more_words_than_a_sentence() -> None:
    short = DataSpec(Sentences(13, 2), Label(7), max_length=11, question=Tokens(13))
    question = short.example().question
    assert question is not None
    assert question.shape[1] <= 2
