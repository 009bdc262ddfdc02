from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal

import pytest

from attnlab.comparison import Arrangement, Problem, compare, conclusion, overall
from attnlab.comparison.report import need, ranking_verdict
from attnlab.errors import UserError

GOOD, LEVEL, BAD = [0.90, 0.91, 0.93, 0.92, 0.94], [0.89, 0.93, 0.92, 0.90, 0.95], [0.50, 0.55, 0.48, 0.60, 0.52]


def problem(
    groups: Mapping[str, Sequence[float]], mode: Literal["min", "max"] = "max", name: str = "sort", first_seed: int = 1
) -> Problem:
    seeded = {
        group: {first_seed + index: value for index, value in enumerate(values)} for group, values in groups.items()
    }
    return Problem(name, "test/accuracy", mode, seeded)


def test_the_verdict_names_who_is_better_and_where_no_difference_is_shown() -> None:
    found = compare(problem({"gru": BAD, "lstm": GOOD, "tcn": LEVEL}))
    assert [group.name for group in found.groups] == ["lstm", "tcn", "gru"]
    assert conclusion(found) == "lstm is better than gru; no difference shown between lstm and tcn"
    assert found.level_with_best() == ["tcn"]


def test_where_less_is_better_the_order_and_the_signs_turn_round() -> None:
    found = compare(problem({"gru": BAD, "lstm": GOOD}, "min"))
    assert found.best == "gru"
    (pair,) = found.pairs
    assert (pair.first, pair.other, pair.verdict) == ("gru", "lstm", "better")
    assert pair.improvement == pytest.approx(0.39)
    assert pair.effect is not None
    assert pair.effect > 0
    assert pair.wins == (1.0, 1.0, 1.0)


def test_no_difference_is_called_so_plainly() -> None:
    found = compare(problem({"a": GOOD, "b": LEVEL}))
    assert conclusion(found) == "no difference shown between a and b"
    (pair,) = found.pairs
    assert pair.verdict == "no difference shown"


def test_without_a_reference_the_correction_is_over_all_pairs() -> None:
    groups = {name: [value + shift for value in GOOD] for name, shift in (("a", 0), ("b", 0.1), ("c", 0.2), ("d", 0.3))}
    groups["d"] = LEVEL
    assert len(compare(problem(groups)).pairs) == 6
    against = compare(problem(groups), "a")
    assert [(pair.first, pair.other) for pair in against.pairs] == [("c", "a"), ("b", "a"), ("d", "a")]
    with pytest.raises(UserError, match=r"--reference e is not a group of sort; choose from a, b, c, d"):
        compare(problem(groups), "e")


def test_a_pair_seen_from_the_other_side_says_the_same() -> None:
    pair = compare(problem({"gru": BAD, "lstm": GOOD})).pairs[0]
    other = pair.flipped()
    assert (other.first, other.other, other.verdict) == ("gru", "lstm", "worse")
    assert other.improvement == -pair.improvement
    assert other.wins == (0.0, 0.0, 0.0)
    assert other.flipped() == pair


def test_other_seeds_are_compared_by_welch() -> None:
    mixed = Problem("sort", "test/accuracy", "max", {"a": dict(enumerate(GOOD)), "b": dict(enumerate(BAD, start=1))})
    (pair,) = compare(mixed).pairs
    assert (pair.test, pair.effect_name, pair.verdict) == ("Welch's t", "d", "better")
    (paired,) = compare(problem({"a": GOOD, "b": BAD})).pairs
    assert (paired.test, paired.effect_name) == ("paired t", "d_z")


def test_the_seeds_that_are_missing_are_counted() -> None:
    ours, theirs = [0.5, 0.6, 0.7, 0.4, 0.9], [0.45, 0.65, 0.62, 0.38, 0.8]
    (pair,) = compare(problem({"a": ours, "b": theirs})).pairs
    # differences .05 -.05 .08 .02 .10: mean .04, deviation .0587, d_z 0.681; G*Power: 19 pairs for 0.8
    assert pair.effect == pytest.approx(0.681, abs=1e-3)
    assert (pair.needed, pair.more) == (19, 14)
    assert need(pair) == "14"


def test_what_cannot_be_tested_is_called_so() -> None:
    found = compare(problem({"a": [1.0, 1.0, 1.0], "b": [0.5, 0.5, 0.5]}))
    assert conclusion(found) == "a and b cannot be tested: it takes two seeds a group, whose values vary"
    assert need(found.pairs[0]) == "?"
    assert found.level_with_best() == []
    assert conclusion(compare(problem({"a": GOOD}))) == "only a: nothing to compare it with"


def test_all_of_it_is_json() -> None:
    found = compare(problem({"a": GOOD, "b": BAD, "c": [0.5]})).to_dict()
    told = json.loads(json.dumps(found, allow_nan=False))
    assert told["best_end"] == "max"
    assert [(group["name"], group["n"]) for group in told["groups"]] == [("a", 5), ("b", 5), ("c", 1)]
    assert told["groups"][0]["iqm"]["value"] == pytest.approx(0.92)
    assert told["groups"][2]["mean"] == {"value": 0.5, "low": None, "high": None}
    assert told["pairs"][0]["verdict"] == "better"
    assert told["pairs"][1]["p"] is None


def several(count: int) -> Arrangement:
    return Arrangement(
        tuple(problem({"gru": BAD, "lstm": GOOD, "tcn": LEVEL[::-1]}, name=f"toy{index}") for index in range(count))
    )


def test_over_several_data_sets_groups_are_ranked() -> None:
    found = overall(several(5))
    assert found is not None
    assert found.ranking is not None
    assert found.ranking.names == ("lstm", "tcn", "gru")
    assert found.against == "lstm"
    assert found.wins["gru"].value == 0.0
    assert found.iqm["lstm"].value == pytest.approx(0.92, abs=0.003)
    assert ranking_verdict(found.ranking).startswith("ranks differ: Friedman p = 0.007 over 5 data sets")
    assert json.dumps(found.to_dict(), allow_nan=False)


def test_a_data_set_that_a_group_has_not_met_is_left_out() -> None:
    partial = problem({"gru": BAD, "lstm": GOOD}, name="half")
    found = overall(Arrangement((*several(2).problems, partial)))
    assert found is not None
    assert found.problems == ("toy0", "toy1")
    assert found.ranking is None


def test_ranks_follow_the_best_end_of_each_metric() -> None:
    risen = [problem({"a": GOOD, "b": BAD, "c": LEVEL}, name=f"up{index}") for index in range(2)]
    fallen = Problem("down", "test/mae", "min", problem({"a": BAD, "b": GOOD, "c": [0.7] * 5}).groups)
    found = overall(Arrangement((*risen, fallen)))
    assert found is not None
    assert found.ranking is not None
    assert found.ranking.names == ("a", "c", "b")
    assert found.ranking.ranks == (1.0, 2.0, 3.0)
    assert found.wins["b"].value == 0.0
    assert found.iqm == {}  # errors and accuracies have no common mean
    assert overall(Arrangement((risen[0],))) is None
