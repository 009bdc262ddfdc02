from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from attnlab.comparison import holm, judge, paired_p, power, seeds_needed

OURS, THEIRS = np.array([0.50, 0.70, 0.90, 0.60]), np.array([0.48, 0.69, 0.87, 0.58])


def test_the_paired_test_sees_differences_that_the_spread_hides() -> None:
    ours, theirs = [0.50, 0.70, 0.90, 0.60], [0.48, 0.69, 0.87, 0.58]
    p = paired_p(ours, theirs)
    # differences .02 .01 .03 .02: mean .02, standard error .00816/2 → t = 4.899 with 3 degrees of freedom
    assert p == pytest.approx(0.0163, abs=2e-4)
    assert paired_p(theirs, ours) == pytest.approx(p)


def test_equal_rivals_do_not_differ_and_nothing_is_said_of_one_seed() -> None:
    assert paired_p([1.0, 1.0], [1.0, 1.0]) == 1.0
    assert paired_p([1.0, 1.0], [0.5, 0.5]) is None
    assert paired_p([1.0], [0.5]) is None


def test_paired_seeds_are_judged_by_their_differences() -> None:
    found = judge([(OURS, THEIRS)], [True])
    # differences .02 .01 .03 .02: mean .02, deviation .00816; t = 4.899 with 3 degrees of freedom
    assert found.difference[0] == pytest.approx(0.02)
    assert found.effect[0] == pytest.approx(2.449, abs=1e-3)
    assert found.p[0] == found.corrected[0] == pytest.approx(0.0163, abs=2e-4)
    assert found.sign[0] == 1
    assert judge([(THEIRS, OURS)], [True]).sign[0] == -1


def test_other_seeds_are_judged_by_welch_and_cohens_d() -> None:
    ours, theirs = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0, 8.0])
    found = judge([(ours, theirs)], [False])
    # variances 1 and 20/3, pooled (2 · 1 + 3 · 20/3) / 5 = 4.4; difference 2 - 5
    assert found.effect[0] == pytest.approx(-3 / 4.4**0.5)
    # t = -3 / √(1/3 + 20/12) with (1/3 + 20/12)² / (1/9/2 + (20/12)²/3) = 4.0755 degrees of freedom
    assert found.p[0] == pytest.approx(2 * stats.t.sf(3 / 2**0.5, 4.0755), rel=1e-4)
    assert found.sign[0] == 0


def test_holms_correction_multiplies_by_what_is_left_and_never_falls() -> None:
    # sorted .01 .03 .04 → .03 .06 .04, which must not fall below .06
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([[0.01, 0.04, 0.03], [0.9, 0.02, 0.5]])) == pytest.approx(
        np.array([[0.03, 0.06, 0.06], [1.0, 0.06, 1.0]])
    )


def test_what_cannot_be_tested_is_no_part_of_the_family() -> None:
    corrected = holm(np.array([0.01, np.nan, 0.04]))
    assert corrected[[0, 2]] == pytest.approx([0.02, 0.04])
    assert np.isnan(corrected[1])
    assert np.isnan(holm(np.array([np.nan]))).all()


def test_a_verdict_is_given_after_correction() -> None:
    pairs = [(OURS, THEIRS), *[(np.array([1.0, 2.0, 3.0, 4.0]), np.array([4.0, 1.0, 3.0, 2.0]))] * 9]
    found = judge(pairs, [True] * 10)
    assert found.p[0] < 0.05 < found.corrected[0]
    assert not found.sign.any()


@pytest.mark.parametrize("paired", [True, False])
def test_values_that_do_not_vary_are_equal_or_cannot_be_tested(paired: bool) -> None:
    ones, tenths = np.ones(3), np.full(3, 0.1)
    same = judge([(ones, ones)], [paired])
    assert (same.p[0], same.effect[0], same.sign[0]) == (1.0, 0.0, 0)
    apart = judge([(ones, tenths)], [paired])
    assert np.isnan([apart.p[0], apart.effect[0]]).all()
    assert apart.sign[0] == 0


def test_differences_that_are_equal_but_for_rounding_do_not_vary() -> None:
    values = np.array([0.1, 0.2, 0.3, 0.4])
    assert np.isnan(judge([(values + 0.7, values)], [True]).p[0])


def test_a_single_seed_cannot_be_tested() -> None:
    assert np.isnan(judge([(np.ones(1), np.array([1.0, 2.0]))], [False]).p[0])


def test_many_families_are_judged_at_once_as_one_by_one() -> None:
    random = np.random.default_rng(5)
    groups = random.normal(size=(3, 2, 5)) + np.array([0, 1, 3])[:, None, None]
    pairs, paired = [(0, 1), (1, 2), (2, 0)], [True, False, True]
    at_once = judge([(groups[i], groups[j]) for i, j in pairs], paired)
    for study in range(2):
        alone = judge([(groups[i, study], groups[j, study]) for i, j in pairs], paired)
        for found, expected in zip(at_once, alone, strict=True):
            assert found[study] == pytest.approx(expected)


def test_power_is_that_of_cohens_tables() -> None:
    # Cohen 1988, table 2.4.1: 64 a group for d = 0.5, 26 for 0.8, 17 for 1.0, at two-sided 0.05 and a power of 0.80
    assert [seeds_needed(effect, paired=False) for effect in (0.5, 0.8, 1.0)] == [64, 26, 17]
    assert seeds_needed(0.5, paired=True) == 34
    assert seeds_needed(-0.5, paired=True) == 34
    assert power(0.0, 5, paired=True) == pytest.approx(0.025)  # one of the two signs


def test_the_fewest_seeds_reach_the_power_and_one_less_does_not() -> None:
    for effect in (0.3, 0.9, 1.7, 3.1):
        for paired in (True, False):
            count = seeds_needed(effect, paired=paired)
            assert count is not None
            assert power(effect, count, paired=paired) >= 0.8 > power(effect, count - 1, paired=paired)


def test_no_number_of_seeds_is_named_that_nobody_trains() -> None:
    assert seeds_needed(0.01, paired=True) is None
    for effect in (3.0, 7.0, 20.0, 1e3, 1e6):
        assert 2 <= (seeds_needed(effect, paired=True) or 0) <= 7
