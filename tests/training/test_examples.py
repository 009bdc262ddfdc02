from __future__ import annotations

import numpy as np
import pytest
import torch

from attnlab.data import TSP, Reverse
from attnlab.training.examples import described_predictions, example_indices, examples, scores


def test_examples_are_known_by_their_numbers_in_the_split(reverse: Reverse) -> None:
    assert example_indices(reverse, "val", 3) == [0, 5, 10]
    assert example_indices(reverse, "val", 99) == list(range(11))


def test_each_example_is_judged_by_the_metric_of_the_data(reverse: Reverse) -> None:
    batch = examples(reverse, "test", 3)
    answers = batch.targets.clone()
    answers[1, 0] += 1
    length = int(batch.target_mask[1].sum())
    right = {"accuracy": 1.0, "exact_match": 1.0}
    assert scores(reverse, batch, answers) == [
        right,
        {"accuracy": pytest.approx(1 - 1 / length), "exact_match": 0.0},
        right,
    ]


def test_what_cannot_be_judged_has_no_score(reverse: Reverse) -> None:
    batch = examples(reverse, "test", 2)
    unasked = batch._replace(target_mask=torch.zeros_like(batch.target_mask))
    assert scores(reverse, unasked, batch.targets)[0]["accuracy"] is None


def test_a_description_says_what_was_read_said_and_asked(tsp: TSP) -> None:
    batch = examples(tsp, "test", 7)
    described = described_predictions(tsp, "test", list(range(7)), batch, batch.targets)
    assert (described["input"], described["output"], described["variables"]) == ("points", "pointer sequence", [])
    first = described["examples"][0]
    assert first["said"] == first["asked"] == [str(city) for city in np.asarray(batch.targets[0])]
    assert first["inputs"] == ["0", "1", "2", "3", "4"]
    assert first["scores"]["gap"] == 0
