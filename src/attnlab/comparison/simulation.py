"""How often the verdicts are right, on made-up seeds whose true difference is known."""

from __future__ import annotations

import gc
import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from attnlab.comparison.verdicts import judge, power

NUM_SEEDS = 5
REPETITIONS = 1000
#: True differences of two groups, in standard deviations over seeds.
EFFECTS = (2.0, 4.0)
#: Rivals of a reference, and groups whose pairs are all tested: ten comparisons either way.
NUM_RIVALS, NUM_GROUPS = 10, 5


@dataclass(frozen=True)
class Outcome:
    """What came of many studies of one kind.

    Args:
        effect: in standard deviations of a group.
        right: share of studies with the right verdict: the better group where there is an effect, else no difference
            shown in any comparison.
        theory: what `right` should be by the test's power; where nothing differs, the least that it may be.
    """

    test: str
    design: str
    comparisons: int
    effect: float
    right: float
    theory: float

    @property
    def false_alarms(self) -> float:
        """Share of studies in which a difference was shown that is not there; of those without an effect."""
        return 1 - self.right


def simulate(repetitions: int = REPETITIONS, *, seed: int = 0) -> list[Outcome]:
    """Verdicts of `attnlab compare` on normal seeds of equal deviation: with paired seeds, and with other ones."""
    random = np.random.default_rng(seed)
    found = []
    with _cheap_collections():
        for paired in (True, False):
            for effect in (0.0, *EFFECTS):
                groups = random.normal(size=(2, repetitions, NUM_SEEDS))
                groups[1] += effect
                found.append(_outcome("two groups", groups, [(1, 0)], effect, paired))
            rivals = [(rival, 0) for rival in range(1, NUM_RIVALS + 1)]
            pairs = list(combinations(range(NUM_GROUPS), 2))
            for design, count, asked in (
                (f"{NUM_RIVALS} rivals of a reference", NUM_RIVALS + 1, rivals),
                (f"all pairs of {NUM_GROUPS} groups", NUM_GROUPS, pairs),
            ):
                groups = random.normal(size=(count, repetitions, NUM_SEEDS))
                found.append(_outcome(design, groups, asked, 0.0, paired))
    return found


def _outcome(design: str, groups: np.ndarray, asked: list[tuple[int, int]], effect: float, paired: bool) -> Outcome:
    judged = judge([(groups[first], groups[other]) for first, other in asked], [paired] * len(asked))
    right = (judged.sign == np.sign(effect)).all(-1).mean()
    # The difference of two independent seeds varies √2 times as much as either.
    size = effect / math.sqrt(2) if paired else effect
    theory = float(power(size, NUM_SEEDS, paired=paired)) if effect else 0.95
    return Outcome("paired t" if paired else "Welch's t", design, len(asked), effect, float(right), theory)


@contextmanager
def _cheap_collections() -> Iterator[None]:
    """statsmodels collects garbage at each correction: 70 ms, unless what the modules hold is left out."""
    importlib.import_module("statsmodels.stats.multitest")
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
