from __future__ import annotations

import pytest

from attnlab.comparison.simulation import NUM_SEEDS, Outcome, simulate


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return simulate(1000)


def test_the_share_of_right_verdicts_is_the_power_of_the_test(outcomes: list[Outcome]) -> None:
    known = [outcome for outcome in outcomes if outcome.effect]
    assert {(outcome.test, outcome.effect) for outcome in known} == {
        (test, effect) for test in ("paired t", "Welch's t") for effect in (2.0, 4.0)
    }
    for outcome in known:
        assert outcome.right == pytest.approx(outcome.theory, abs=0.05), outcome


def test_where_nothing_differs_alarms_are_rare_also_over_ten_comparisons(outcomes: list[Outcome]) -> None:
    nothing = [outcome for outcome in outcomes if not outcome.effect]
    assert {outcome.comparisons for outcome in nothing} == {1, 10}
    for outcome in nothing:
        assert outcome.false_alarms <= 0.06, outcome


def test_theory_is_that_of_published_tables(outcomes: list[Outcome]) -> None:
    # 5 seeds a group: a paired test of effect 2/√2 and a t-test of effect 2, as G*Power 3.1 gives them
    theory = {(outcome.test, outcome.effect): outcome.theory for outcome in outcomes}
    assert NUM_SEEDS == 5
    assert theory["paired t", 2.0] == pytest.approx(0.663, abs=1e-3)
    assert theory["Welch's t", 2.0] == pytest.approx(0.791, abs=1e-3)


def test_four_times_as_many_studies_say_the_same_more_closely() -> None:
    for outcome in simulate(4000, seed=1):
        if outcome.effect:
            assert outcome.right == pytest.approx(outcome.theory, abs=0.035), outcome
        else:
            assert outcome.false_alarms <= 0.06, outcome


def test_the_same_seed_makes_the_same_studies(outcomes: list[Outcome]) -> None:
    assert simulate(1000) == outcomes
    assert simulate(1000, seed=2) != outcomes
