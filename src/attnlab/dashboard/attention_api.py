"""What the page Attention asks for: what there is to look at in a run, and one map of it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attnlab.dashboard.answers import reply
from attnlab.dashboard.index import RunIndex
from attnlab.dashboard.params import whole_number
from attnlab.runs.maps import AttentionRecord


def routes(store: RunIndex) -> list[Route]:
    def overview(request: Request) -> Response:
        return reply(AttentionRecord(store.folder(request.path_params["run_id"])).overview())

    def one_map(request: Request) -> Response:
        asked = request.query_params
        head = asked.get("head", "mean")
        found = AttentionRecord(store.folder(request.path_params["run_id"])).map(
            whole_number(asked, "epoch"),
            asked.get("site", ""),
            whole_number(asked, "example"),
            None if head == "mean" else whole_number(asked, "head"),
        )
        return reply(found)

    return [
        Route("/api/runs/{run_id}/attention", overview),
        Route("/api/runs/{run_id}/attention/map", one_map),
    ]
