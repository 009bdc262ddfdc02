"""What a sample over seeds says: mean, median and interquartile mean, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

#: Of every interval.
CONFIDENCE = 0.95
#: Bootstrap samples behind an interval: its ends then vary by some hundredths of its width.
RESAMPLES = 2000
#: Elements that a batch of bootstrap samples may hold.
BATCH = 10_000_000


class Spread(NamedTuple):
    """A mean over seeds and the half-width of its 95 % interval (Student's t); no interval for a single seed."""

    mean: float
    half_width: float | None
    values: tuple[float, ...]


class Estimate(NamedTuple):
    """A number and its bootstrap interval; no interval where some stratum has a single seed."""

    value: float
    low: float | None
    high: float | None


#: Samples [..., n] of the strata, and the axis of the seeds → a number for each leading index.
Statistic = Callable[..., np.ndarray]


def spread(values: Sequence[float]) -> Spread:
    from scipy import stats

    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return Spread(mean, None, tuple(values))
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1))
    return Spread(mean, quantile * deviation / math.sqrt(count), tuple(values))


def mean(*strata: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(np.mean(np.concatenate(strata, axis), axis))


def median(*strata: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(np.median(np.concatenate(strata, axis), axis))


def interquartile_mean(*strata: np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean of the middle half of all values: without ⌊n/4⌋ at either end.

    Agarwal et al. 2021, arXiv:2108.13264, §4.3: less noisy than the median, less moved by one bad seed than the mean.
    """
    from scipy import stats

    return np.asarray(stats.trim_mean(np.concatenate(strata, axis), 0.25, axis))


def estimate(statistic: Statistic, *strata: Sequence[float] | np.ndarray) -> Estimate:
    """A statistic with its stratified percentile bootstrap interval (Agarwal et al. 2021, §4.2).

    Seeds are drawn again within each stratum, such as a data set, never across them. The random numbers are the same
    every time, so that a table can be made again.
    """
    from scipy import stats

    samples = [np.asarray(stratum, dtype=float) for stratum in strata]
    value = float(statistic(*samples, axis=-1))
    if min(map(len, samples)) < 2:
        return Estimate(value, None, None)
    found = stats.bootstrap(
        samples,
        statistic,
        n_resamples=RESAMPLES,
        batch=max(1, min(RESAMPLES, BATCH // math.prod(map(len, samples[:2])))),
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(value, float(found.low), float(found.high))


def share_of_wins(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
    """The chance that a seed of the first group has more than one of the second; a tie is half a win.

    Mann and Whitney's U divided by the number of pairs, its mean over the data sets (Agarwal et al. 2021, §4.3,
    "probability of improvement").

    Args:
        samples: first and second group on one data set, then on the next, and so on.
    """
    assert axis == -1
    wins = []
    for ours, theirs in zip(samples[::2], samples[1::2], strict=True):
        difference = np.sign(ours[..., :, None] - theirs[..., None, :])
        wins.append(0.5 + 0.5 * difference.mean((-2, -1)))
    return np.asarray(np.mean(wins, axis=0))
