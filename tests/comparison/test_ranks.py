from __future__ import annotations

import numpy as np
import pytest

from attnlab.comparison import critical_difference, rank


@pytest.mark.parametrize(("count", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_is_that_of_demsars_table(count: int, q: float) -> None:
    # Demšar 2006, table 5a
    assert critical_difference(count, 14) == pytest.approx(q * (count * (count + 1) / (6 * 14)) ** 0.5, rel=5e-4)


def test_the_best_comes_first_and_ties_share_their_ranks() -> None:
    scores = np.array([[0.3, 0.9, 0.9], [0.1, 0.8, 0.7], [0.2, 0.6, 0.5]])
    found = rank(["low", "high", "middle"], scores)
    assert found.names == ("high", "middle", "low")
    # high: 1.5, 1, 1; middle: 1.5, 2, 2
    assert found.ranks == pytest.approx((3.5 / 3, 5.5 / 3, 3.0))
    assert found.num_problems == 3


def test_friedmans_test_is_that_of_a_hand_calculation() -> None:
    scores = np.array([[3.0, 2.0, 1.0]] * 4)
    found = rank(["a", "b", "c"], scores)
    # χ² = 12·4 / (3·4) · (1 + 4 + 9 - 3·16/4) = 8 with 2 degrees of freedom: e^-4
    assert found.p == pytest.approx(np.exp(-4), rel=1e-6)
    assert found.test == "Friedman"


def test_groups_that_are_close_share_a_bar_and_a_bar_within_another_is_left_out() -> None:
    found = rank(["a", "b", "c", "d"], np.array([[4.0, 3.0, 2.0, 1.0]] * 5))
    assert found.critical_difference == pytest.approx(2.569 * (20 / 30) ** 0.5, rel=1e-3)  # 2.10
    assert found.cliques == ((0, 2), (1, 3))
    apart = rank(["a", "b", "c", "d"], np.array([[4.0, 3.0, 2.0, 1.0]] * 50))  # 0.66
    assert apart.cliques == ()


def test_where_no_difference_is_shown_one_bar_joins_all() -> None:
    found = rank(["a", "b", "c"], np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [3.0, 1.0, 2.0]]))
    assert not found.differ
    assert found.cliques == ((0, 2),)
    equal = rank(["a", "b", "c"], np.ones((4, 3)))
    assert (equal.p, equal.cliques) == (1.0, ((0, 2),))


def test_two_groups_are_judged_by_wilcoxon() -> None:
    few = rank(["a", "b"], np.array([[1.0, 0.5]] * 5) + np.arange(5)[:, None] * [0.1, 0.0])
    assert few.test == "Wilcoxon"
    assert few.p == pytest.approx(2 / 2**5)  # all five signs alike, either way
    assert not few.differ
    many = rank(["a", "b"], np.array([[1.0, 0.5]] * 6) + np.arange(6)[:, None] * [0.1, 0.0])
    assert many.p == pytest.approx(2 / 2**6)
    assert many.cliques == ()


def test_two_data_sets_are_too_few() -> None:
    with pytest.raises(ValueError, match="ranks need 3 data sets and 2 groups, not 2 and 3"):
        rank(["a", "b", "c"], np.ones((2, 3)))
