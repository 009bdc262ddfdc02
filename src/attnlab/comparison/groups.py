"""Which runs are compared: chosen, arranged by problem and group, with one value for each seed."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from attnlab.config import GROUPS, near_miss
from attnlab.errors import UserError
from attnlab.runs.metrics import best_end, key_metric
from attnlab.runs.store import RunSummary, read_config

#: Keys that may differ between runs which count as the same: they say who ran it, where, and what was watched.
INNOCENT = frozenset(
    {"seed", "data.seed", "data.path", "run_id", "run_dir", "parameters"}
    | {"experiment", "logger", "callbacks", "sweep", "trainer", "trainer.log_every_n_steps"}
    | {"trainer.accelerator", "trainer.devices"}
)
INNOCENT_PARTS = ("logger.", "sweep.", "callbacks.attention_maps.")
#: Stands for a key that a run does not have, such as the normalizer of attention=none.
NOTHING = "–"
#: Longer lists in messages are cut.
SHOWN = 3


@dataclass(frozen=True)
class Candidate:
    """A run with all that it can be chosen by: its choices (encoder: gru) and its config (encoder.num_layers: 2)."""

    run: RunSummary
    facts: Mapping[str, Any]

    @property
    def seed(self) -> int:
        return int(self.run.meta.get("seed", 0))

    def value(self, metric: str) -> float | None:
        found = self.run.summary.get(metric)
        return float(found) if isinstance(found, (int, float)) and math.isfinite(found) else None


@dataclass(frozen=True)
class Problem:
    """What groups are compared on, usually a data set.

    Args:
        groups: name → seed → value of the metric.
    """

    name: str
    metric: str
    mode: Literal["min", "max"]
    groups: Mapping[str, Mapping[int, float]]

    def sample(self, group: str) -> np.ndarray:
        """A group's values in the order of their seeds."""
        return np.array([value for _, value in sorted(self.groups[group].items())])

    def paired(self, group: str, other: str) -> bool:
        """Whether two groups have the same seeds, so that their values belong together."""
        return self.groups[group].keys() == self.groups[other].keys()

    def gain(self, difference: float) -> float:
        """A difference, positive where it is an improvement."""
        return difference if self.mode == "max" else -difference


@dataclass(frozen=True)
class Arrangement:
    """Problems, and what a reader of their numbers must know about how they were chosen."""

    problems: tuple[Problem, ...]
    remarks: tuple[str, ...] = field(default=())


def candidates(runs: Iterable[RunSummary]) -> list[Candidate]:
    found = []
    for run in runs:
        facts = dict(_flat(read_config(run.path)))
        facts |= {group: choice for group, choice in run.meta.get("choices", {}).items()}
        facts |= {"seed": run.meta.get("seed"), "data_sha256": run.meta.get("data_sha256")}
        found.append(Candidate(run, facts))
    return found


def choose(all_of: Sequence[Candidate], where: Mapping[str, Sequence[str]]) -> list[Candidate]:
    """Those whose facts have one of the values asked for, under every key.

    Raises:
        UserError: a key or value that no run has.
    """
    chosen = list(all_of)
    for key, values in where.items():
        _check_key(key, all_of, "--where")
        for value in values:
            known = sorted({_text(item.facts.get(key)) for item in all_of})
            if not any(_is(item.facts.get(key), value) for item in all_of):
                raise UserError(f"--where {key}={value}: no run has that; {near_miss(value, known)}")
        chosen = [item for item in chosen if any(_is(item.facts.get(key), value) for value in values)]
    if all_of and not chosen:
        raise UserError("no run meets every --where at once; leave one out")
    return chosen


def arrange(
    all_of: Sequence[Candidate],
    *,
    by: Sequence[str],
    over: Sequence[str] = ("data",),
    metric: str | None = None,
    best: Literal["min", "max"] | None = None,
) -> Arrangement:
    """Finished runs as problems (`over`) of groups (`by`) of seeds.

    Args:
        metric: of the summary, such as test/mae; None: what the data of each problem are judged by.
        best: which end of the metric is best; None: as the record says.

    Raises:
        UserError: a key that no run has, a metric that no run has, or runs in one group that differ in more than the
            seed.
    """
    for option, keys in (("--by", by), ("--over", over)):
        for key in keys:
            _check_key(key, all_of, option)
    remarks = []
    finished = [item for item in all_of if item.run.status == "finished"]
    others: dict[str, list[str]] = defaultdict(list)
    for item in all_of:
        if item.run.status != "finished":
            others[item.run.status].append(_label(item, by))
    for status, names in sorted(others.items()):
        runs = f"{len(names)} {status} run" + ("s" if len(names) > 1 else "")
        counted = ", ".join(f"{name} ({number})" for name, number in Counter(names).items())
        remarks.append(f"without {runs}: {counted}")
    # What is both a group and a problem would leave one group in each problem.
    over = [key for key in over if key not in by]
    cells: dict[str, dict[str, list[Candidate]]] = defaultdict(lambda: defaultdict(list))
    for item in finished:
        cells[_label(item, over) if over else "all"][_label(item, by)].append(item)
    problems = []
    for name, groups in sorted(cells.items()):
        found = metric or _key_metric(name, groups)
        values = {}
        for group, members in groups.items():
            _check_alike(name if over else "", group, members)
            values[group] = _by_seed(group, members, found, remarks)
        first = next(iter(groups.values()))[0]
        known = {group: seeds for group, seeds in values.items() if seeds}
        if known:
            problems.append(Problem(name, found, best or best_end(found, first.run), known))
    if finished and not problems:
        numbers = {key for item in finished for key in item.run.summary if item.value(key) is not None}
        raise UserError(f"--metric {metric}: no run has such a number; {near_miss(str(metric), sorted(numbers))}")
    return Arrangement(tuple(problems), tuple(dict.fromkeys(remarks)))


def _key_metric(problem: str, groups: Mapping[str, Sequence[Candidate]]) -> str:
    found = {key for members in groups.values() for item in members if (key := key_metric(item.run))}
    if len(found) != 1:
        told = f"are judged by {' and '.join(sorted(found))}" if found else "do not say what they are judged by"
        raise UserError(f"the runs of {problem} {told}; name one number of their summaries with --metric")
    return found.pop()


def _by_seed(group: str, members: Sequence[Candidate], metric: str, remarks: list[str]) -> dict[int, float]:
    latest = {item.seed: item for item in sorted(members, key=_age)}
    if len(latest) < len(members):
        remarks.append(f"{group}: of runs with the same seed the latest counts")
    values = {seed: item.value(metric) for seed, item in latest.items()}
    missing = [str(seed) for seed, value in values.items() if value is None]
    if missing:
        remarks.append(f"{group}: without seed {', '.join(missing)}, which has no {metric}")
    return {seed: value for seed, value in values.items() if value is not None}


def _age(item: Candidate) -> tuple[str, str]:
    return str(item.run.meta.get("started")), item.run.run_id


def _check_alike(problem: str, group: str, members: Sequence[Candidate]) -> None:
    """One group must be one model on one problem: a mean over anything else would be of nothing in particular."""
    keys = {key for item in members for key in item.facts if key not in INNOCENT and not key.startswith(INNOCENT_PARTS)}
    mixed = sorted(key for key in keys if len({_text(item.facts.get(key)) for item in members}) > 1)
    if not mixed:
        return
    chosen = members[0].run.meta.get("choices", {})
    named = [key for key in mixed if key in chosen] or mixed  # a choice says it all about the keys below it
    told = []
    for key in named[:SHOWN]:
        values = sorted({_text(item.facts.get(key)) for item in members})
        told.append(f"{key} ({', '.join(values[:SHOWN])}{', …' if len(values) > SHOWN else ''})")
    rest = f" and {len(named) - SHOWN} more keys" if len(named) > SHOWN else ""
    first = named[0]
    where = f" on {problem}" if problem else ""
    raise UserError(
        f"the runs of {group}{where} differ in {', '.join(told)}{rest}, so their mean would say nothing; "
        f"add {first} to --by, or choose with --where {first}={_text(members[0].facts.get(first))}"
    )


def _check_key(key: str, all_of: Sequence[Candidate], option: str) -> None:
    if key == "seed":
        raise UserError(f"{option} seed would leave nothing to compare: seeds are the repetitions; leave it out")
    known = {name for item in all_of for name in item.facts}
    if all_of and key not in known:
        raise UserError(f"{option} {key}: no run has such a key; {near_miss(key, sorted(known))}")


def _label(item: Candidate, keys: Sequence[str]) -> str:
    """As people say it: gru + additive; what is no choice keeps its key: dim=32."""
    chosen = item.run.meta.get("choices", {})
    words = []
    for key in keys:
        value = _text(item.facts.get(key))
        words.append(value if key in chosen or key in GROUPS else f"{key.rpartition('.')[2]}={value}")
    return " + ".join(words)


def _flat(node: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """A nested config as dotted keys; lists are values."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, node


def _text(value: Any) -> str:
    return NOTHING if value is None else str(value)


def _is(value: Any, asked: str) -> bool:
    try:
        return _text(value) == asked or float(value) == float(asked)  # lr=1e-3 is lr=0.001
    except (TypeError, ValueError):
        return False
