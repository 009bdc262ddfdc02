"""What the page Runs asks for: rows, those that have changed, groups over seeds, reviews."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attnlab.comparison import spread
from attnlab.dashboard.answers import answer, body, reply
from attnlab.dashboard.index import RunIndex
from attnlab.dashboard.review import write_review
from attnlab.errors import UserError

#: Numbers of a row whose spread over a group is shown beside the metric's.
COSTS = ("parameters", "seconds", "memory")


def routes(store: RunIndex) -> list[Route]:
    def runs(request: Request) -> Response:
        return answer(request, lambda: store.changes(request.query_params.get("since", "")), store.version)

    async def groups(request: Request) -> Response:
        asked = await body(request)
        if not (isinstance(asked.get("runs"), list) and isinstance(asked.get("by"), list)):
            raise UserError("groups need a list of runs and a list of keys to group by")
        rows = await run_in_threadpool(store.rows, asked["runs"])
        return reply(await run_in_threadpool(group_rows, rows, asked["by"], asked.get("metric", "")))

    async def review(request: Request) -> Response:
        folder = store.folder(request.path_params["run_id"])
        return reply(await run_in_threadpool(write_review, folder, await body(request)))

    return [
        Route("/api/runs", runs),
        Route("/api/groups", groups, methods=["POST"]),
        Route("/api/runs/{run_id}/review", review, methods=["PUT"]),
    ]


def group_rows(rows: Iterable[dict[str, Any]], by: list[str], metric: str = "") -> list[dict[str, Any]]:
    """Rows that agree in the keys, with the mean and the 95 % interval of each number over them.

    Args:
        metric: a key of the summaries; each run's own key metric where it is empty. Runs judged by different metrics
            are never averaged: they make groups of their own.
    """
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        name = metric or row["metric"] or ""
        groups.setdefault((*(text(value_of(row, key)) for key in by), name), []).append(row)
    made = []
    for (*values, name), members in groups.items():
        made.append(
            {
                "key": dict(zip(by, values, strict=True)),
                "metric": name,
                "rising": next((row["rising"] for row in members if row["metric"] == name), None),
                "runs": [row["id"] for row in members],
                "seeds": len({row["seed"] for row in members}),
                "statuses": sorted({row["status"] for row in members}),
                "value": _spread(value_of(row, name) if metric else row["value"] for row in members),
                **{cost: _spread(row[cost] for row in members) for cost in COSTS},
            }
        )
    return made


def value_of(row: dict[str, Any], key: str) -> Any:
    """A value by its name: a choice (encoder), a config key (trainer.max_steps), a number of the summary (test/mae)."""
    for place in (row["choices"], row["config"], row["summary"]):
        if key in place:
            return place[key]
    return row.get(key)


def text(value: Any) -> str:
    return "–" if value is None else str(value)


def _spread(values: Iterable[Any]) -> dict[str, Any] | None:
    numbers = [float(value) for value in values if isinstance(value, (int, float)) and math.isfinite(value)]
    if not numbers:
        return None
    found = spread(numbers)
    return {"mean": found.mean, "half_width": found.half_width, "count": len(numbers)}
