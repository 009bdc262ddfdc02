"""Do groups of seeds differ, by how much, and how many seeds would it take to see it?"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

#: A difference is called shown where the corrected p is below: the share of false alarms where there is none.
ALPHA = 0.05
#: The chance of seeing a difference of the observed size that "enough seeds" means.
POWER = 0.8
#: More seeds than anybody trains: a power calculation stops here.
MOST_SEEDS = 1000
#: Relative to the values: differences whose deviation is below are all the same but for rounding.
ROUNDING = 1e-12


class Judged(NamedTuple):
    """What tests say of a family of pairs; the last axis of each field is the pair.

    Args:
        difference: mean of the first minus mean of the second.
        effect: the difference in standard deviations: d_z (of the differences seed by seed) where paired, else Cohen's
            d (the pooled one of the groups). NaN where nothing varies.
        p: two-sided, of Student's paired t-test or Welch's; NaN where nothing can be tested.
        corrected: p after Holm's correction over the family.
        sign: 1 where the first is shown to have more than the second, -1 where less, 0 where no difference is shown.
    """

    difference: np.ndarray
    effect: np.ndarray
    p: np.ndarray
    corrected: np.ndarray
    sign: np.ndarray


def judge(pairs: Sequence[tuple[np.ndarray, np.ndarray]], paired: Sequence[bool]) -> Judged:
    """Tests pairs of samples [..., seeds] that are judged together.

    Args:
        paired: of each pair, whether its two samples belong together seed by seed.
    """
    tested = [_differ(ours, theirs, together) for (ours, theirs), together in zip(pairs, paired, strict=True)]
    difference, effect, p = (np.stack(column, -1) for column in zip(*tested, strict=True))
    corrected = holm(p)
    shown = np.nan_to_num(corrected, nan=1.0) < ALPHA
    return Judged(difference, effect, p, corrected, np.where(shown, np.sign(difference), 0).astype(int))


def paired_p(values: Sequence[float], others: Sequence[float]) -> float | None:
    """Two-sided p of a paired t-test: do two rivals differ, seed by seed? None where nothing can be said.

    Where all differences are equal, there is no spread to test against: 1 if they are 0, else None.
    """
    p = float(judge([(np.asarray(values, dtype=float), np.asarray(others, dtype=float))], [True]).p[0])
    return None if np.isnan(p) else p


def _differ(ours: np.ndarray, theirs: np.ndarray, paired: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Difference, effect and p of one pair."""
    from scipy import stats

    difference = np.asarray(ours.mean(-1) - theirs.mean(-1))
    if min(ours.shape[-1], theirs.shape[-1]) < 2:
        nothing = np.full_like(difference, np.nan)
        return difference, nothing, nothing
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # of values that do not vary, which are dealt with below
        if paired:
            deviation = (ours - theirs).std(-1, ddof=1)
            p = stats.ttest_rel(ours, theirs, axis=-1).pvalue
        else:
            degrees = np.array([ours.shape[-1] - 1, theirs.shape[-1] - 1])
            variances = np.stack([ours.var(-1, ddof=1), theirs.var(-1, ddof=1)], -1)
            deviation = np.sqrt((variances * degrees).sum(-1) / degrees.sum())
            p = stats.ttest_ind(ours, theirs, axis=-1, equal_var=False).pvalue
        size = np.maximum(abs(ours).max(-1), abs(theirs).max(-1))
        same, constant = abs(difference) <= ROUNDING * size, deviation <= ROUNDING * size
        effect = np.where(constant, np.where(same, 0.0, np.nan), difference / deviation)
        return difference, effect, np.where(constant, np.where(same, 1.0, np.nan), p)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down correction over the last axis; what was not tested (NaN) is not part of a family.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the chance of any false alarm in the family
    stays below ALPHA, however the tests depend on each other.
    """
    from statsmodels.stats.multitest import multipletests

    corrected = np.full_like(p, np.nan)
    for index in np.ndindex(p.shape[:-1]):
        tested = ~np.isnan(p[index])
        if tested.any():
            corrected[index][tested] = multipletests(p[index][tested], method="holm")[1]
    return corrected


def power(effect: float, seeds: int | np.ndarray, *, paired: bool, alpha: float = ALPHA) -> np.ndarray:
    """The chance that a two-sided test with so many seeds a group shows an effect, with its right sign.

    Args:
        effect: d_z or d, as Judged.effect.
    """
    from statsmodels.stats.power import TTestIndPower, TTestPower

    solver = TTestPower() if paired else TTestIndPower()
    # The upper tail alone: a wrong sign does not count, and its chance would be NaN where it is next to nothing.
    return np.asarray(solver.power(abs(effect), seeds, alpha / 2, alternative="larger"))


def seeds_needed(effect: float, *, paired: bool) -> int | None:
    """The fewest seeds a group with which an effect of this size is shown with a chance of POWER.

    For a single test at ALPHA; None where it takes more than MOST_SEEDS.
    """
    counts = np.arange(2, MOST_SEEDS + 1)
    enough = ~(power(effect, counts, paired=paired) < POWER)  # NaN: an overflow, which certainty alone brings
    return int(counts[enough.argmax()]) if enough.any() else None
