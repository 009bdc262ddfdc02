"""What the page Predictions asks for: the kept test examples of a run, and one of them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attnlab.dashboard.answers import reply
from attnlab.dashboard.index import RunIndex
from attnlab.dashboard.params import whole_number
from attnlab.errors import UserError
from attnlab.runs.predictions import PredictionRecord


def routes(store: RunIndex) -> list[Route]:
    def overview(request: Request) -> Response:
        folder = store.folder(request.path_params["run_id"])
        try:
            return reply(PredictionRecord(folder).overview())
        except UserError as error:  # a run without any, or an old one, is no failure of the request
            return reply({"missing": str(error)})

    def example(request: Request) -> Response:
        record = PredictionRecord(store.folder(request.path_params["run_id"]))
        variable = whole_number(request.query_params, "variable") if "variable" in request.query_params else 0
        return reply(record.example(request.path_params["position"], variable))

    return [
        Route("/api/runs/{run_id}/predictions", overview),
        Route("/api/runs/{run_id}/predictions/{position:int}", example),
    ]
