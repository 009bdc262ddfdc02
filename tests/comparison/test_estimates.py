from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from attnlab.comparison import Estimate, estimate, interquartile_mean, mean, median, share_of_wins, spread


def test_the_interval_is_that_of_students_t() -> None:
    found = spread([1.0, 2.0, 3.0, 4.0])
    assert found.mean == 2.5
    # deviation √(5/3), divided by √4, times t(0.975, 3) = 3.1824 of the tables
    assert found.half_width == pytest.approx(3.1824 * (5 / 3) ** 0.5 / 2, rel=1e-4)


def test_a_single_seed_has_no_interval() -> None:
    assert spread([0.7]) == (0.7, None, (0.7,))


def test_the_interquartile_mean_is_that_of_the_middle_half() -> None:
    # of 8 values 2 are left out at either end: the mean of 3, 4, 5 and 8
    assert float(interquartile_mean(np.array([100.0, 8.0, 1.0, 5.0, 2.0, 4.0, 3.0, 9.0]))) == 5.0
    # of 5 values one: the mean of 2, 3 and 7
    assert float(interquartile_mean(np.array([7.0, 1.0, 3.0, 2.0, 99.0]))) == 4.0


def test_one_bad_seed_moves_the_mean_and_not_the_interquartile_mean() -> None:
    good, spoilt = [0.90, 0.91, 0.92, 0.93, 0.94], [0.90, 0.91, 0.92, 0.93, 0.0]
    assert estimate(mean, spoilt).value < 0.75
    assert estimate(interquartile_mean, spoilt).value == pytest.approx(0.91)
    assert estimate(interquartile_mean, good).value == pytest.approx(0.92)


def test_seeds_are_drawn_again_within_a_data_set_and_never_across() -> None:
    easy, hard = [0.9, 0.9, 0.9], [0.1, 0.1, 0.1, 0.1]
    found = estimate(mean, easy, hard)
    assert found == pytest.approx((3.1 / 7, 3.1 / 7, 3.1 / 7))
    mixed = estimate(mean, easy + hard)
    assert mixed.low is not None
    assert mixed.low < 0.3 < 0.6 < (mixed.high or 0)


def test_the_interval_is_the_same_every_time_and_covers_what_it_should() -> None:
    random = np.random.default_rng(7)
    studies = random.normal(3.0, 1.0, size=(200, 20))
    found = [estimate(mean, values) for values in studies]
    covered = np.mean([low <= 3.0 <= high for _, low, high in found])  # type: ignore[operator]
    assert 0.88 <= covered <= 0.98  # of 20 seeds some 93 %; a percentile interval of few seeds is a little too short
    assert estimate(mean, studies[0]) == found[0]


def test_a_single_seed_has_a_value_and_no_interval() -> None:
    assert estimate(median, [0.4]) == Estimate(0.4, None, None)
    assert estimate(median, [0.4, 0.5, 0.9], [0.4]).low is None


def test_the_chance_of_winning_counts_pairs_and_halves_ties() -> None:
    # 2 beats 1 and ties with 2; 3 beats both: 3.5 of 4 pairs
    assert float(share_of_wins(np.array([2.0, 3.0]), np.array([1.0, 2.0]))) == 0.875
    random = np.random.default_rng(3)
    ours, theirs = random.integers(0, 5, 7).astype(float), random.integers(0, 5, 11).astype(float)
    expected = stats.mannwhitneyu(ours, theirs).statistic / 77
    assert float(share_of_wins(ours, theirs)) == pytest.approx(expected)


def test_over_data_sets_the_chance_of_winning_is_the_mean_however_large_the_values() -> None:
    won, lost = ([2.0, 3.0], [0.0, 1.0]), ([100.0, 200.0], [900.0, 901.0])
    assert estimate(share_of_wins, *won, *lost).value == 0.5
