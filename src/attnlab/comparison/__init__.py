"""Comparison of runs over seeds, without torch and Hydra: for `attnlab compare`, `attnlab table` and the dashboard."""

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
from attnlab.comparison.groups import Arrangement, Candidate, Problem, arrange, candidates, choose
from attnlab.comparison.ranks import LEAST_PROBLEMS, Ranking, critical_difference, rank
from attnlab.comparison.report import Comparison, GroupSummary, Overall, Pair, compare, conclusion, overall
from attnlab.comparison.verdicts import ALPHA, POWER, Judged, holm, judge, paired_p, power, seeds_needed

__all__ = [
    "ALPHA",
    "LEAST_PROBLEMS",
    "POWER",
    "Arrangement",
    "Candidate",
    "Comparison",
    "Estimate",
    "GroupSummary",
    "Judged",
    "Overall",
    "Pair",
    "Problem",
    "Ranking",
    "Spread",
    "arrange",
    "candidates",
    "choose",
    "compare",
    "conclusion",
    "critical_difference",
    "estimate",
    "holm",
    "interquartile_mean",
    "judge",
    "mean",
    "median",
    "overall",
    "paired_p",
    "power",
    "rank",
    "seeds_needed",
    "share_of_wins",
    "spread",
]
