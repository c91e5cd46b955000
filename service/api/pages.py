"""Pages, their static files and figure templates: the same for everyone, cached by the browser."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse

from dashboards.figures.template import plotly_script, templates
from dashboards.pages import PAGES, Page, render, static_files

router = APIRouter(include_in_schema=False)
_SECURITY: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


@cache
def _static(name: str) -> tuple[bytes, str, str]:
    found = (plotly_script().encode(), "text/javascript") if name == "plotly.js" else static_files().get(name)
    if found is None:
        raise HTTPException(404, f"no static file is called {name!r}")
    data, kind = found
    return data, kind, f'"{hashlib.sha256(data).hexdigest()[:16]}"'


@router.get("/static/{name}")
def static(name: str, request: Request) -> Response:
    """Return a static file; 304 when the browser already has it."""
    data, kind, tag = _static(name)
    headers = {"ETag": tag, "Cache-Control": "max-age=300, must-revalidate"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=kind, headers=headers)


@router.get("/api/v1/figures/{name}")
def figure(name: str, response: Response) -> dict[str, Any]:
    """Return a figure without data, as Plotly takes it."""
    if name not in templates():
        raise HTTPException(404, f"no figure is called {name!r}; there are {', '.join(sorted(templates()))}")
    response.headers["Cache-Control"] = "max-age=300"
    return templates()[name].to_json()


def _page(page: Page) -> Any:
    html = render(page)

    def answer() -> HTMLResponse:
        return HTMLResponse(html, headers=_SECURITY)

    return answer


for _each in PAGES:
    router.add_api_route(_each.path, _page(_each), methods=["GET"], response_class=HTMLResponse)
