"""JSON answers with an ETag, so that asking again costs nothing while nothing has changed."""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from attnlab.errors import UserError


def answer(request: Request, content: Any, version: str) -> Response:
    """The content, or 304 where the asker already has this version of it. A function is called only where needed."""
    headers = {"ETag": f'"{version}"', "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(dump(content() if callable(content) else content), media_type="application/json", headers=headers)


def reply(content: Any) -> Response:
    """JSON that is not kept."""
    return Response(dump(content), media_type="application/json", headers={"Cache-Control": "no-store"})


async def body(request: Request) -> dict[str, Any]:
    """The JSON object that was sent.

    A page of another site cannot send one: browsers ask first, and are not answered.

    Raises:
        UserError: it is none.
    """
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise UserError("send application/json")
    try:
        content = await request.json()
    except ValueError:
        raise UserError("what was sent is not JSON") from None
    if not isinstance(content, dict):
        raise UserError(f"what was sent must be an object, not a {type(content).__name__}")
    return content


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
