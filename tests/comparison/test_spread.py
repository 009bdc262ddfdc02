from __future__ import annotations

import pytest

from attnlab.comparison import paired_p, spread


def test_the_interval_is_that_of_students_t() -> None:
    found = spread([1.0, 2.0, 3.0, 4.0])
    assert found.mean == 2.5
    # deviation √(5/3), divided by √4, times t(0.975, 3) = 3.1824 of the tables
    assert found.half_width == pytest.approx(3.1824 * (5 / 3) ** 0.5 / 2, rel=1e-4)


def test_a_single_seed_has_no_interval() -> None:
    assert spread([0.7]) == (0.7, None, (0.7,))


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
