"""A problem's comparison: what each group reaches, which pairs differ, and the verdict in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from attnlab.comparison.estimates import (
    Estimate,
    Spread,
    estimate,
    interquartile_mean,
    mean,
    median,
    share_of_wins,
    spread,
)
from attnlab.comparison.groups import Arrangement, Problem
from attnlab.comparison.ranks import LEAST_PROBLEMS, Ranking, mean_ranks, rank
from attnlab.comparison.verdicts import MOST_SEEDS, judge, seeds_needed
from attnlab.config import near_miss
from attnlab.errors import UserError

BETTER, WORSE, NO_DIFFERENCE, UNTESTED = "better", "worse", "no difference shown", "cannot be tested"


@dataclass(frozen=True)
class GroupSummary:
    """What a group reaches over its seeds."""

    name: str
    seeds: tuple[int, ...]
    mean: Estimate
    median: Estimate
    iqm: Estimate
    spread: Spread


@dataclass(frozen=True)
class Pair:
    """One group against another.

    Args:
        improvement: how much better the first is on average, in the metric's unit; negative: worse.
        effect: the improvement in standard deviations, named by `effect_name`: d_z (paired) or Cohen's d.
        p, corrected: before and after Holm's correction; None where nothing can be tested.
        wins: the chance that a seed of the first is better than a seed of the other.
        needed: seeds a group with which the observed effect would be shown with 80 % at α = 0.05; None: too many, or
            unknown.
        more: how many are missing to that.
    """

    first: str
    other: str
    test: str
    improvement: float
    effect_name: str
    effect: float | None
    p: float | None
    corrected: float | None
    verdict: str
    wins: Estimate
    needed: int | None
    more: int | None

    def flipped(self) -> Pair:
        """The same from the other's side."""
        value, low, high = self.wins
        ends = (None, None) if low is None or high is None else (1 - high, 1 - low)
        return replace(
            self,
            first=self.other,
            other=self.first,
            improvement=-self.improvement,
            effect=None if self.effect is None else -self.effect,
            verdict={BETTER: WORSE, WORSE: BETTER}.get(self.verdict, self.verdict),
            wins=Estimate(1 - value, *ends),
        )


@dataclass(frozen=True)
class Comparison:
    """Groups on one problem, the best mean first.

    Args:
        reference: the group that the others were tested against; None: every pair was tested.
        pairs: the family that Holm's correction is over.
    """

    problem: Problem
    groups: tuple[GroupSummary, ...]
    reference: str | None
    pairs: tuple[Pair, ...]

    @property
    def best(self) -> str:
        return self.groups[0].name

    def against(self, name: str) -> list[Pair]:
        """The tested pairs of a group, each seen from the other's side, in the order of the groups."""
        found = {}
        for pair in self.pairs:
            if name in (pair.first, pair.other):
                seen = pair if pair.other == name else pair.flipped()
                found[seen.first] = seen
        return [found[group.name] for group in self.groups if group.name in found]

    def level_with_best(self) -> list[str]:
        """Groups that were tested against the best one and are not shown to be worse."""
        return [pair.first for pair in self.against(self.best) if pair.verdict == NO_DIFFERENCE]

    def to_dict(self) -> dict[str, Any]:
        return {
            "problem": self.problem.name,
            "metric": self.problem.metric,
            "best_end": self.problem.mode,
            "reference": self.reference,
            "groups": [
                {
                    "name": group.name,
                    "n": len(group.seeds),
                    "seeds": group.seeds,
                    "values": self.problem.sample(group.name).tolist(),
                    **{name: getattr(group, name)._asdict() for name in ("mean", "median", "iqm")},
                }
                for group in self.groups
            ],
            "pairs": [{**asdict(pair), "wins": pair.wins._asdict()} for pair in self.pairs],
            "verdict": conclusion(self),
        }


def compare(problem: Problem, reference: str | None = None) -> Comparison:
    """Compares the groups of a problem: all pairs, or each with the reference.

    All pairs are one family: so the best group may be named after a look at the numbers, and its lead is still tested
    fairly.

    Raises:
        UserError: the reference is no group.
    """
    names = list(problem.groups)
    if reference is not None and reference not in names:
        raise UserError(
            f"--reference {reference} is not a group of {problem.name}; {near_miss(reference, sorted(names))}"
        )
    summaries = sorted((_summary(problem, name) for name in names), key=lambda group: -problem.gain(group.mean.value))
    order = [group.name for group in summaries]
    asked = list(combinations(order, 2)) if reference is None else [(n, reference) for n in order if n != reference]
    return Comparison(problem, tuple(summaries), reference, _pairs(problem, asked))


def _summary(problem: Problem, name: str) -> GroupSummary:
    values = problem.sample(name)
    iqm = estimate(interquartile_mean, values)
    seeds = tuple(sorted(problem.groups[name]))
    return GroupSummary(name, seeds, estimate(mean, values), estimate(median, values), iqm, spread(values.tolist()))


def _pairs(problem: Problem, asked: Sequence[tuple[str, str]]) -> tuple[Pair, ...]:
    if not asked:
        return ()
    samples = [(problem.sample(first), problem.sample(other)) for first, other in asked]
    paired = [problem.paired(first, other) for first, other in asked]
    judged = judge(samples, paired)
    found = []
    for index, (first, other) in enumerate(asked):
        ours, theirs = samples[index]
        effect = _known(problem.gain(float(judged.effect[index])))
        corrected = _known(float(judged.corrected[index]))
        gain = problem.gain(float(judged.sign[index]))
        verdict = UNTESTED if corrected is None else BETTER if gain > 0 else WORSE if gain < 0 else NO_DIFFERENCE
        needed = None if not effect else seeds_needed(effect, paired=paired[index])
        wins = (ours, theirs) if problem.mode == "max" else (theirs, ours)
        found.append(
            Pair(
                first=first,
                other=other,
                test="paired t" if paired[index] else "Welch's t",
                improvement=problem.gain(float(judged.difference[index])),
                effect_name="d_z" if paired[index] else "d",
                effect=effect,
                p=_known(float(judged.p[index])),
                corrected=corrected,
                verdict=verdict,
                wins=estimate(share_of_wins, *wins),
                needed=needed,
                more=None if needed is None else max(0, needed - min(len(ours), len(theirs))),
            )
        )
    return tuple(found)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def conclusion(comparison: Comparison) -> str:
    """The verdict in a sentence or two."""
    if not comparison.pairs:
        return f"only {comparison.best}: nothing to compare it with"
    pivot = comparison.reference or comparison.best
    seen = comparison.against(pivot)
    told = []
    for verdict, words in ((WORSE, "{} is better than {}"), (BETTER, "{} is worse than {}")):
        names = [pair.first for pair in seen if pair.verdict == verdict]
        if names:
            told.append(words.format(pivot, _and(names)))
    level = [pair.first for pair in seen if pair.verdict == NO_DIFFERENCE]
    untested = [pair.first for pair in seen if pair.verdict == UNTESTED]
    if level:
        told.append(f"no difference shown between {pivot} and {_and(level, 'or')}")
    if untested:
        told.append(f"{pivot} and {_and(untested)} cannot be tested: it takes two seeds a group, whose values vary")
    return "; ".join(told)


def need(pair: Pair) -> str:
    """How many more seeds a group would decide a pair, in words for a table."""
    if pair.verdict in (BETTER, WORSE):
        return "–"
    if pair.effect is None:
        return "?"
    if pair.needed is None:
        return f"> {MOST_SEEDS:,}"
    return f"{pair.more:,}" if pair.more else "0 without Holm"


def _and(names: Sequence[str], word: str = "and") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


@dataclass(frozen=True)
class Overall:
    """Groups over all problems that every group has met.

    Args:
        iqm: over all problems and seeds, where the metric is the same everywhere: name → estimate; else empty.
        wins: name → its chance of being better than the reference (or the group of the best mean rank), mean over
            problems.
        ranking: None where there are too few problems.
    """

    problems: tuple[str, ...]
    against: str
    iqm: dict[str, Estimate]
    wins: dict[str, Estimate]
    ranking: Ranking | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "problems": self.problems,
            "against": self.against,
            "iqm": {name: found._asdict() for name, found in self.iqm.items()},
            "wins": {name: found._asdict() for name, found in self.wins.items()},
            "ranking": None if self.ranking is None else {**asdict(self.ranking), "test": self.ranking.test},
        }


def overall(arrangement: Arrangement, reference: str | None = None) -> Overall | None:
    """Groups over several problems; None where fewer than two problems or groups are common to all."""
    names = [name for name in dict.fromkeys(name for p in arrangement.problems for name in p.groups)]
    met = [problem for problem in arrangement.problems if all(name in problem.groups for name in names)]
    if len(met) < 2 or len(names) < 2:
        return None
    scores = np.array([[p.gain(float(mean(p.sample(name)))) for name in names] for p in met])
    ranking = rank(names, scores) if len(met) >= LEAST_PROBLEMS else None
    order = [names[index] for index in np.argsort(mean_ranks(scores), kind="stable")]
    against = reference or order[0]
    iqm = {}
    if len({(problem.metric, problem.mode) for problem in met}) == 1:
        iqm = {name: estimate(interquartile_mean, *(p.sample(name) for p in met)) for name in order}
    wins = {}
    for name in order:
        if name != against:
            samples = [p.sample(each) * p.gain(1.0) for p in met for each in (name, against)]
            wins[name] = estimate(share_of_wins, *samples)
    return Overall(tuple(problem.name for problem in met), against, iqm, wins, ranking)


def ranking_verdict(ranking: Ranking) -> str:
    """What ranks over data sets show, in a sentence."""
    said = f"{ranking.test} p = {p_text(ranking.p)} over {ranking.num_problems} data sets"
    if not ranking.differ:
        return f"no difference shown: {said}"
    if len(ranking.names) == 2:
        return f"{ranking.names[0]} ranks before {ranking.names[1]}: {said}"
    return (
        f"ranks differ: {said}; so do two groups whose mean ranks are {ranking.critical_difference:.2f} or more apart"
    )


def p_text(p: float | None) -> str:
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
