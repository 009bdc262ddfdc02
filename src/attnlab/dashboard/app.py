"""The dashboard's server and the contract of its pages.

A page is two files that know each other and nothing else of the dashboard:

*static/pages/NAME.js* exports `title` and `async function render(root, state, api)`: it draws into the empty element
`root` and may return a function that ends what it began (timers, listeners). It is called when the page is opened, and
when somebody follows a link or goes back to another view of it.

- `state` is the view, kept in the address, so that a link keeps it: `state.get(key, default)`, `state.list(key)`,
  `state.set({key: value})` (replaces the address without a new render; null removes), `state.link(page, {key: value})`
  (an href). The keys of `SHARED` in state.js (`runs`: the selected runs, `group`, `metric`, `filter`) go along from
  page to page; all others belong to one page.
- `api.get(path)` → JSON, `api.text(path)` → text; an error's message is the server's sentence. `api.put(path, body)`,
  `api.post(path, body)`. `api.poll(path, seconds, callback)` calls back whenever the answer has changed and returns a
  function that stops it.
- chart.js has `chart(element, spec)`: a Vega-Lite spec, as wide as `element` where it says `width: "container"`, in the
  theme's colours (Okabe and Ito's; `palette`), and again when the theme changes. dom.js has `el`, `select`, `message`.

*NAME_api.py* has `routes(store) -> list[Route]`, all below /api/. `store` is the RunIndex: `store.path`,
`store.folder(run_id)` (or an answer 404), `store.runs()`. Raise `UserError` for what the person can mend: it becomes an
answer 400 {"error": sentence}. `answer(request, content, version)` of answers.py sends JSON with an ETag, or 304.
Endpoints that read files are plain `def`: Starlette runs them in threads.
"""

from __future__ import annotations

import functools
from importlib import import_module, resources
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from attnlab.dashboard.index import RunIndex
from attnlab.dashboard.vega import vega_bundle
from attnlab.errors import UserError

PAGES = ("runs", "compare", "attention", "predictions", "report")
STATIC = Path(str(resources.files("attnlab.dashboard"))) / "static"

#: Nothing but this server is ever asked for anything. Vega compiles its expressions, and sets styles on its elements.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:"
)


def create_app(run_dir: Path) -> Starlette:
    """The dashboard of a folder of runs, as an ASGI application."""
    store = RunIndex(run_dir)
    routes: list[Route | Mount] = [Route("/", _page), Route("/vega.js", _vega)]
    for page in PAGES:
        routes += import_module(f"attnlab.dashboard.{page}_api").routes(store)
    app = Starlette(
        routes=[*routes, Mount("/", _Static(directory=STATIC))],
        # A page of another site that points its own name at 127.0.0.1 must not read the runs.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
        exception_handlers={UserError: _refused, HTTPException: _failed},
    )
    app.state.store = store
    return app


class _Static(StaticFiles):
    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"  # asked for again each time: a new version is seen at once
        return response


def _page(request: Request) -> Response:
    return FileResponse(STATIC / "index.html", headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"})


def _vega(request: Request) -> Response:
    return _bundle()


@functools.cache
def _bundle() -> Response:
    return Response(vega_bundle(), media_type="text/javascript", headers={"Cache-Control": "max-age=86400"})


def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=400)


def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, status_code=error.status_code)
