"""A small HTTP server of its own threads, for the doors of an agent: bounded, and silent about callers."""

from __future__ import annotations

import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

_SOCKET_SECONDS: Final = 5.0
_BUSY: Final = b"too many callers at once\n"


class LocalHandler(BaseHTTPRequestHandler):
    """Answers one call; a silent caller is given up after five seconds."""

    timeout = _SOCKET_SECONDS

    def answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        """Send a whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing: a call a second is no news."""


class LocalServer(ThreadingHTTPServer):
    """Listens at once, answers from `start` to `stop`; turns callers away past `most` at once.

    Raises `OSError` when the address cannot be listened on.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, address: tuple[str, int], handler: type[LocalHandler], *, name: str, most: int
    ) -> None:
        self._places = threading.BoundedSemaphore(most)
        self._thread = threading.Thread(target=self.serve_forever, name=name, daemon=True)
        try:
            super().__init__(address, handler)
        except OSError as error:
            cause = f"{error.strerror}; does another agent run there?"
            raise OSError(error.errno, f"listen on {address[0]}:{address[1]}: {cause}") from None

    @property
    def url(self) -> str:
        """Return where it listens, with the port that was free."""
        address, port = self.server_address[:2]
        return f"http://{address!s}:{port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and free the port."""
        if self._thread.is_alive():
            self.shutdown()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve in a thread of its own, or turn the caller away when all are taken."""
        if not self._places.acquire(blocking=False):
            head = f"HTTP/1.0 503 Service Unavailable\r\nContent-Length: {len(_BUSY)}\r\n\r\n"
            request.sendall(head.encode() + _BUSY)
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Give the place back whatever happens."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a caller that hung up; anything else is a fault of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
