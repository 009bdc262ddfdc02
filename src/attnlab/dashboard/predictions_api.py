"""What the page Predictions asks for."""

from __future__ import annotations

from starlette.routing import Route

from attnlab.dashboard.index import RunIndex


def routes(store: RunIndex) -> list[Route]:
    return []
