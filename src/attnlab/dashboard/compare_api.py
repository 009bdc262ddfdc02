"""What the page Compare asks for: curves with bands, differences, what explains the metric, what is worth its cost."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attnlab.comparison import spread
from attnlab.dashboard.answers import answer, reply
from attnlab.dashboard.index import RunIndex, is_rising
from attnlab.dashboard.runs_api import COSTS, text, value_of
from attnlab.errors import UserError
from attnlab.runs.record import METRICS
from attnlab.runs.store import read_metrics

#: Points of one curve that are sent: more than a screen can show.
MAX_POINTS = 1_000
#: Curves of one chart: more could not be told apart.
MAX_CURVES = 60

Row = dict[str, Any]


def routes(store: RunIndex) -> list[Route]:
    def chosen(request: Request) -> tuple[dict[str, Any], list[Row]]:
        """The selected runs, all that are not hidden where none is selected, of one data set."""
        names = _list(request, "runs")
        rows = store.rows(names or None)
        if not names:
            rows = [row for row in rows if row["choices"] and not row["review"]["hidden"]]
        return of_one_data_set(rows, request.query_params.get("data", ""))

    def compare(request: Request) -> Response:
        facts, rows = chosen(request)
        return reply({**facts, **compared(rows, request.query_params.get("metric", ""))})

    def curves(request: Request) -> Response:
        facts, rows = chosen(request)
        by = _list(request, "by")
        kept = drawn_runs(rows, by)
        stamps = [_stamp(store, row) for row in kept]
        # What the answer is made of: one more line of one run is another version.
        version = hashlib.sha256(repr((stamps, str(request.query_params))).encode()).hexdigest()[:16]

        def content() -> dict[str, Any]:
            runs = [(row, readable_metrics(store.path / row["id"])) for row in kept]
            made = curves_of(runs, request.query_params.get("metric", ""), by)
            return {**facts, "left_out": len(rows) - len(kept), **made}

        return answer(request, content, version)

    return [Route("/api/compare", compare), Route("/api/curves", curves)]


def of_one_data_set(rows: Sequence[Row], wanted: str) -> tuple[dict[str, Any], list[Row]]:
    """The runs on the wanted data set, else on that of most runs: numbers of different data sets do not compare."""
    names = [str(row["choices"].get("data", "")) for row in rows]
    data = wanted if wanted in names else max(dict.fromkeys(names), key=names.count, default="")
    kept = [row for row, name in zip(rows, names, strict=True) if name == data]
    return {"data": data, "data_sets": sorted(set(names))}, kept


def drawn_runs(rows: Sequence[Row], by: Sequence[str]) -> list[Row]:
    """The runs behind the curves that one chart can show, in the order of the rows.

    Where there are too many curves, those of runs that are being trained come first, then those of the newest runs. A
    group stands where its first run does and is never cut: its mean is that of all its runs.
    """

    def curve(row: Row) -> str:
        return _group_name(row, by) if by else str(row["id"])

    ranked = sorted(rows, key=lambda row: (row["status"] == "running", str(row["started"]), row["id"]), reverse=True)
    shown = set(list(dict.fromkeys(map(curve, ranked)))[:MAX_CURVES])
    return [row for row in rows if curve(row) in shown]


def curves_of(runs: Sequence[tuple[Row, list[Row]]], metric: str, by: Sequence[str]) -> dict[str, Any]:
    """The learning curve of each run or, with keys to group by, each group's mean and 95 % interval over its runs.

    Args:
        runs: each run's row and the lines of its metrics.jsonl.
        metric: a column of the lines; the runs' own metric on the validation part where it is empty.
    """
    names = sorted({key for _, lines in runs for line in lines for key in line if _is_curve(key)})
    own = [row["metric"].partition("/")[2] for row, _ in runs if row["metric"]]
    common = f"val/{max(set(own), key=own.count)}" if own else ""
    shown = metric or (common if common in names else next(iter(names), ""))
    points = [(row, _points(row, lines, shown)) for row, lines in runs]
    drawn = [(row, found) for row, found in points if found]
    if by:
        groups: dict[str, list[list[Row]]] = {}
        for row, found in drawn:
            groups.setdefault(_group_name(row, by), []).append(found)
        curves = [
            {"name": name, "runs": len(members), "points": _thinned(_band(members))} for name, members in groups.items()
        ]
    else:
        curves = [{"name": row["id"], "runs": 1, "points": _thinned(found)} for row, found in drawn]
    return {"metric": shown, "rising": is_rising(shown), "metrics": names, "curves": curves}


def _group_name(row: Row, by: Sequence[str]) -> str:
    return ", ".join(text(value_of(row, key)) for key in by)


def _is_curve(key: str) -> bool:
    return key not in ("step", "epoch", "time") and not key.startswith("test/")


def _points(row: Row, lines: Iterable[Row], metric: str) -> list[Row]:
    config = row["config"]
    batch = config.get("data.batch_size") or 1
    batch *= config.get("trainer.accumulate_grad_batches") or 1
    points = []
    for line in lines:
        value, step = line.get(metric), line.get("step")
        if isinstance(value, (int, float)) and math.isfinite(value) and isinstance(step, int):
            steps = step + 1  # the first is number 0
            points.append({"step": steps, "time": line.get("time"), "examples": steps * batch, "value": value})
    return points


def _band(members: Sequence[list[Row]]) -> list[Row]:
    """The mean of curves at the steps that every one of them has reached, with its interval."""
    by_step: dict[int, list[Row]] = {}
    for points in members:
        for point in points:
            by_step.setdefault(point["step"], []).append(point)
    band = []
    for step, points in sorted(by_step.items()):
        if len(points) < len(members):
            continue
        found = spread([point["value"] for point in points])
        times = [point["time"] for point in points if point["time"] is not None]
        half = found.half_width
        band.append(
            {
                "step": step,
                "examples": points[0]["examples"],
                "time": math.fsum(times) / len(times) if times else None,
                "value": found.mean,
                "low": None if half is None else found.mean - half,
                "high": None if half is None else found.mean + half,
            }
        )
    return band


def _thinned(points: list[Row]) -> list[Row]:
    every = -(-len(points) // MAX_POINTS)
    return points[:-1:every] + points[-1:] if every > 1 else points


def compared(rows: Sequence[Row], metric: str) -> dict[str, Any]:
    """What runs on the same data differ in, and what that is worth in a metric; their own where it is empty."""
    own = [row["metric"].partition("/")[2] for row in rows if row["metric"]]
    shown = metric or (f"test/{max(set(own), key=own.count)}" if own else "")
    rising = next((row["rising"] for row in rows if row["metric"] == shown), is_rising(shown))
    differing = differences(rows)
    valued = [(row, row["summary"].get(shown)) for row in rows]
    scored = [(row, float(value)) for row, value in valued if isinstance(value, (int, float)) and math.isfinite(value)]
    numbers = {key for row in rows for key, value in row["summary"].items() if isinstance(value, (int, float))}
    facts = ("id", "status", "seed", "choices", *COSTS)
    return {
        "metric": shown,
        "rising": rising,
        "metrics": sorted(key for key in numbers if key.startswith("test/")),
        "runs": [{**{key: row[key] for key in facts}, "value": row["summary"].get(shown)} for row in rows],
        "differences": differing,
        "importance": importance(differing, [row["summary"].get(shown) for row in rows]),
        "front": {
            cost: pareto_front(
                [(row["id"], float(row[cost]), value) for row, value in scored if row[cost] is not None], rising
            )
            for cost in COSTS
        },
    }


def differences(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Keys of choices and configs in which runs differ, each with a value a run.

    Keys that always change together (encoder and encoder._target_) say the same and stand in one line, shortest first.
    `given` says which runs have the key at all: another encoder may have no num_layers.
    """
    keys = dict.fromkeys(key for part in ("choices", "config") for row in rows for key in row[part])
    lines: dict[tuple[int, ...], list[str]] = {}
    for key in keys:
        texts = [text(value_of(row, key)) for row in rows]
        order = list(dict.fromkeys(texts))
        if len(order) > 1:
            lines.setdefault(tuple(order.index(entry) for entry in texts), []).append(key)
    found = []
    for alike in lines.values():
        named = sorted(alike, key=lambda key: (key.endswith("_target_"), key.count("."), len(key)))
        values = [value_of(row, named[0]) for row in rows]
        given = [any(named[0] in row[part] for part in ("choices", "config")) for row in rows]
        found.append({"keys": named, "values": values, "given": given})
    return found


def importance(parameters: Sequence[dict[str, Any]], scores: Sequence[Any]) -> list[dict[str, Any]]:
    """How much of the variance of the scores goes with each parameter alone: one-way analysis of variance.

    eta² = SS_between / SS_total grows with the number of levels even where there is no effect; epsilon² takes out what
    chance alone would give (Kelley 1935): (SS_between - df_between · MS_within) / SS_total, at least 0. A parameter
    with as many levels as runs explains everything and says nothing, so it is left out; so is the seed, which nobody
    chooses for its number. Neither sees interactions.

    Args:
        parameters: as `differences` gives them; runs that do not have one are not counted for it.
        scores: a number a run; runs without one are passed over.
    """
    found = []
    for parameter in parameters:
        if "seed" in parameter["keys"]:
            continue
        groups: dict[str, list[float]] = {}
        for value, given, score in zip(parameter["values"], parameter["given"], scores, strict=True):
            if given and isinstance(score, (int, float)) and math.isfinite(score):
                groups.setdefault(text(value), []).append(float(score))
        counted = [score for members in groups.values() for score in members]
        levels, count, total = len(groups), len(counted), _squares(counted)
        if levels < 2 or levels >= count or total <= 0:
            continue
        within = math.fsum(_squares(members) for members in groups.values())
        between = total - within
        adjusted = max(0.0, (between - (levels - 1) * within / (count - levels)) / total)
        shares = {"eta": between / total, "epsilon": adjusted}
        found.append({"keys": parameter["keys"], "levels": levels, "runs": count, **shares})
    return sorted(found, key=lambda entry: -entry["epsilon"])


def _squares(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values) if values else 0.0
    return math.fsum((value - mean) ** 2 for value in values)


def pareto_front(runs: Iterable[tuple[str, float, float]], rising: bool) -> list[str]:
    """Runs (name, cost, quality) that no other beats: none is as cheap and better, or cheaper and as good."""
    sign = -1.0 if rising else 1.0
    front: list[str] = []
    best, best_cost = math.inf, math.inf
    for name, cost, quality in sorted(runs, key=lambda run: (run[1], sign * run[2])):
        if sign * quality < best or (sign * quality == best and cost == best_cost):
            best, best_cost = sign * quality, cost
            front.append(name)
    return front


def _list(request: Request, key: str) -> list[str]:
    return [part for part in request.query_params.get(key, "").split(",") if part]


def _stamp(store: RunIndex, row: Row) -> tuple[str, int, int]:
    try:
        status = (store.path / row["id"] / METRICS).stat()
    except OSError:
        return row["id"], 0, 0
    return row["id"], status.st_size, status.st_mtime_ns


def readable_metrics(run: Path) -> list[Row]:
    """The lines of a run's metrics.jsonl; none where it is missing or damaged: one such run hides no other."""
    try:
        return read_metrics(run)
    except (OSError, UserError, UnicodeDecodeError):
        return []
