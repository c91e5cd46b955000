"""The agent's /metrics: our own names (`collector.export.own_page`), on request dcgm-exporter's as well."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from collector.export import own_page
from collector.export.dcgm import DcgmPage
from collector.export.own_page import View
from collector.export.text_format import CONTENT_TYPE
from collector.local_server import LocalHandler, LocalServer

_MAX_SCRAPES: Final = 8
_NOT_FOUND: Final = b"the agent serves /metrics and /health\n"


class Exporter:
    """A small HTTP server of its own threads; at most eight scrapes at once."""

    def __init__(self, view: View, *, address: str, port: int, dcgm: DcgmPage | None = None) -> None:
        self._view = view
        self._dcgm = dcgm
        self._server = _Server((address, port), self.page)

    @property
    def url(self) -> str:
        """Return the address of the page, with the port that was free."""
        return f"{self._server.url}/metrics"

    def page(self) -> bytes:
        """Return the page as it is now, in Prometheus' text format."""
        own = own_page.render(self._view)
        if self._dcgm is None:
            return own
        return own + self._dcgm.render(self._view.fresh_records(), self._view.last_xids())

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self) -> None:
        """Stop answering and free the port."""
        self._server.stop()


class _Server(LocalServer):
    def __init__(self, address: tuple[str, int], page: Callable[[], bytes]) -> None:
        self.page = page
        super().__init__(address, _Handler, name="export", most=_MAX_SCRAPES)


class _Handler(LocalHandler):
    server: _Server

    def do_GET(self) -> None:  # noqa: N802 - the name is the base class's
        """Answer /metrics and /health."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self.answer(HTTPStatus.OK, self.server.page(), CONTENT_TYPE)
        elif path == "/health":
            self.answer(HTTPStatus.OK, b"ok\n", "text/plain")
        else:
            self.answer(HTTPStatus.NOT_FOUND, _NOT_FOUND, "text/plain")
