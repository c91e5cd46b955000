"""Pages, their static files and figure templates: the same for everyone, cached by the browser."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import HTMLResponse

from dashboards.figures.template import plotly_script, plotly_version, templates
from dashboards.pages import PAGES, Page, render, static_files

router = APIRouter(include_in_schema=False)
_SECURITY: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
PLOTLY: Final = "plotly.js"
FOR_EVER: Final = "public, max-age=31536000, immutable"
"""Plotly's address holds its version, so what it leads to never changes."""
LOOK_AGAIN: Final = "no-cache"
"""Our own files: kept, and asked for again each time, so that pages never mix two versions."""


@dataclass(frozen=True, slots=True)
class _File:
    """A static file, whole and packed once: packing 4 MB for each browser would stop the service."""

    data: bytes
    packed: bytes
    kind: str
    tag: str


@cache
def _static(name: str) -> _File:
    found = (plotly_script().encode(), "text/javascript") if name == PLOTLY else static_files().get(name)
    if found is None:
        raise HTTPException(404, f"no static file is called {name!r}")
    data, kind = found
    return _File(data, gzip.compress(data, 6, mtime=0), kind, f'"{hashlib.sha256(data).hexdigest()[:16]}"')


@router.get("/static/{name}")
def static(name: str, request: Request) -> Response:
    """Return a static file; 304 when the browser already has it."""
    file = _static(name)
    cached = FOR_EVER if name == PLOTLY and "v" in request.query_params else LOOK_AGAIN
    headers = {
        "ETag": file.tag,
        "Cache-Control": cached,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(file.packed, media_type=file.kind, headers={**headers, "Content-Encoding": "gzip"})
    return Response(file.data, media_type=file.kind, headers=headers)


@router.get("/api/v1/figures/{name}")
def figure(name: str, response: Response) -> dict[str, Any]:
    """Return a figure without data, as Plotly takes it."""
    if name not in templates():
        raise HTTPException(404, f"no figure is called {name!r}; there are {', '.join(sorted(templates()))}")
    response.headers["Cache-Control"] = LOOK_AGAIN
    return templates()[name].to_json()


def _page(page: Page) -> Any:
    html = render(page, plotly_url=f"/static/{PLOTLY}?v={plotly_version()}")

    def answer() -> HTMLResponse:
        return HTMLResponse(html, headers=_SECURITY)

    return answer


for _each in PAGES:
    router.add_api_route(_each.path, _page(_each), methods=["GET"], response_class=HTMLResponse)
