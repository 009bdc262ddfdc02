"""What the page Report asks for: the current comparison as one page, or as Markdown with figures."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attnlab.dashboard.answers import reply
from attnlab.dashboard.compare_api import differences, of_one_data_set
from attnlab.dashboard.index import RunIndex
from attnlab.dashboard.report import Report, build_report, default_keys

#: A report asks for nothing and runs nothing, wherever it is opened.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def routes(store: RunIndex) -> list[Route]:
    def chosen(request: Request) -> tuple[str, list[str], list[dict[str, object]]]:
        """The selected runs, all that are not hidden where none is selected, of one data set."""
        names = _list(request, "runs")
        rows = store.rows(names or None)
        if not names:
            rows = [row for row in rows if row["choices"] and not row["review"]["hidden"]]
        facts, kept = of_one_data_set(rows, request.query_params.get("data", ""))
        return facts["data"], facts["data_sets"], kept

    def report(request: Request) -> Report:
        data, _, rows = chosen(request)
        by, metric = _list(request, "group"), request.query_params.get("metric", "")
        return build_report(store.path, data, rows, by=by, metric=metric)

    def options(request: Request) -> Response:
        """What there is to choose from before a report is made."""
        data, data_sets, rows = chosen(request)
        finished = [row for row in rows if row["status"] == "finished"]
        keys = [line["keys"][0] for line in differences(finished)]
        metrics = {key for row in finished for key in row["summary"] if key.startswith("test/")}  # type: ignore[attr-defined]
        own = [row["metric"] for row in finished if row["metric"]]
        return reply(
            {
                "data": data,
                "data_sets": data_sets,
                "runs": len(rows),
                "finished": len(finished),
                "keys": list(dict.fromkeys(["encoder", "attention", *keys])),
                "group": default_keys(finished) if finished else [],
                "metrics": sorted(metrics),
                "metric": max(set(own), key=own.count) if own else "",
            }
        )

    def page(request: Request) -> Response:
        headers = {"Content-Security-Policy": POLICY} | _download(request, "report.html")
        return Response(report(request).to_html(), media_type="text/html", headers=headers)

    def folder(request: Request) -> Response:
        headers = {"Content-Disposition": 'attachment; filename="report.zip"'}
        return Response(report(request).to_zip(), media_type="application/zip", headers=headers)

    return [
        Route("/api/report", options),
        Route("/api/report.html", page),
        Route("/api/report.zip", folder),
    ]


def _list(request: Request, key: str) -> list[str]:
    return [part for part in request.query_params.get(key, "").split(",") if part]


def _download(request: Request, name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'} if "download" in request.query_params else {}
