"""JSON answers with an ETag, so that asking again costs nothing while nothing has changed."""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.requests import Request
from starlette.responses import Response


def answer(request: Request, content: Any, version: str) -> Response:
    """The content, or 304 where the asker already has this version of it."""
    headers = {"ETag": f'"{version}"', "Cache-Control": "no-cache"}
    if unchanged(request, version):
        return Response(status_code=304, headers=headers)
    return Response(dump(content), media_type="application/json", headers=headers)


def unchanged(request: Request, version: str) -> bool:
    return request.headers.get("if-none-match") == f'"{version}"'


def dump(content: Any) -> bytes:
    """As JSON, which knows neither NaN nor infinity: both become null."""
    try:
        text = json.dumps(content, allow_nan=False, separators=(",", ":"), ensure_ascii=False, default=str)
    except ValueError:
        text = json.dumps(_finite(content), separators=(",", ":"), ensure_ascii=False, default=str)
    return text.encode("utf-8", errors="replace")


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return content
