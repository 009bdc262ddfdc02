"""Groups over several data sets: mean ranks, and which of them differ (Demšar 2006)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attnlab.comparison.verdicts import ALPHA

#: Fewer data sets say nothing about others.
LEAST_PROBLEMS = 3


@dataclass(frozen=True)
class Ranking:
    """Mean ranks over data sets, the best first.

    Args:
        ranks: 1 is best; ties share the mean of their ranks.
        p: of Friedman's test that all are equal; of Wilcoxon's signed-rank test where there are only two.
        critical_difference: of mean ranks, by Nemenyi's test.
        cliques: the largest sets of neighbours that are not shown to differ, as (first, last) index.
    """

    names: tuple[str, ...]
    ranks: tuple[float, ...]
    num_problems: int
    p: float
    critical_difference: float
    cliques: tuple[tuple[int, int], ...]

    @property
    def test(self) -> str:
        return "Friedman" if len(self.names) > 2 else "Wilcoxon"

    @property
    def differ(self) -> bool:
        return self.p < ALPHA


def rank(names: Sequence[str], scores: np.ndarray) -> Ranking:
    """Ranks groups by their scores [data sets, groups], of which more is better.

    Demšar 2006, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, §3.2.2: Friedman's test
    first; only where it shows a difference are pairs told apart, if their mean ranks differ by the critical difference
    or more.
    """
    from scipy import stats

    num_problems, count = scores.shape
    if num_problems < LEAST_PROBLEMS or count < 2:
        raise ValueError(f"ranks need {LEAST_PROBLEMS} data sets and 2 groups, not {num_problems} and {count}")
    ranks = mean_ranks(scores)
    order = np.argsort(ranks, kind="stable")
    if (scores == scores[:, :1]).all():  # neither test is defined where nothing differs anywhere
        p = 1.0
    elif count > 2:
        p = float(stats.friedmanchisquare(*scores.T).pvalue)
    else:
        p = float(stats.wilcoxon(*scores.T).pvalue)
    critical = critical_difference(count, num_problems)
    ranks = ranks[order]
    cliques = _cliques(ranks, critical) if p < ALPHA else ((0, count - 1),)
    return Ranking(tuple(names[i] for i in order), tuple(map(float, ranks)), num_problems, p, critical, cliques)


def mean_ranks(scores: np.ndarray) -> np.ndarray:
    """Of each group over the data sets; 1 where it has the most everywhere."""
    from scipy import stats

    return np.asarray(stats.rankdata(-scores, axis=1).mean(0))


def critical_difference(num_groups: int, num_problems: int) -> float:
    """Nemenyi's q_α √(k(k+1) / 6N) (Demšar 2006, §3.2.2); q_α is the studentized range's quantile, divided by √2."""
    from scipy import stats

    quantile = float(stats.studentized_range.ppf(1 - ALPHA, num_groups, math.inf)) / math.sqrt(2)
    return quantile * math.sqrt(num_groups * (num_groups + 1) / (6 * num_problems))


def _cliques(ranks: np.ndarray, critical: float) -> tuple[tuple[int, int], ...]:
    """Of sorted ranks, the runs that are closer than the critical difference and part of no longer one."""
    last = [int(np.flatnonzero(ranks - first < critical)[-1]) for first in ranks]
    return tuple((i, j) for i, j in enumerate(last) if j > i and (i == 0 or last[i - 1] < j))
