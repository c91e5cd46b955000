"""HTTP as the agent needs it: one exchange, bounded in bytes and, as a whole, in time.

The standard library's client, because every exchange is made by a thread of its own that may
block and has a deadline: an event loop would add a dependency and a second way to time out.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

from collector.clock import elapsed_us

MAX_PAGE_BYTES: Final = 8 * 1024 * 1024
_CHUNK: Final = 64 * 1024
_KINDS: Final[Mapping[str, type[HTTPConnection]]] = {"http": HTTPConnection, "https": HTTPSConnection}


class WebError(Exception):
    """An exchange that brought no answer: operation, URL without credentials, cause and hint."""


class WebTooLate(WebError):  # noqa: N818 - told apart by what the caller does next
    """There may be an answer, later than one is waited for: to ask again at once would only burden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered: HTTP status, headers by lower-case name, body, time in microseconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    took_us: int


def shown(url: SplitResult) -> str:
    """Return a URL as it may be logged: without credentials and query."""
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"


def connection_to(url: SplitResult, *, timeout_seconds: float) -> HTTPConnection:
    """Return an unopened connection to a URL's host. Raises `WebError` for a URL that is none."""
    try:
        port = url.port
    except ValueError:
        port = -1
    kind = _KINDS.get(url.scheme)
    if kind is None or not url.hostname or port == -1:
        raise WebError(f"connect to {shown(url)}: not an http:// or https:// address")
    return kind(url.hostname, port, timeout=timeout_seconds)


def fetch(url: str, *, timeout_seconds: float, max_bytes: int = MAX_PAGE_BYTES) -> Answer:
    """GET a page. Raises `WebError` unless it answers 200 within time and size.

    Redirects are not followed: a metrics page that moved is a mistake to be told.
    """
    parts = urlsplit(url)
    connection = connection_to(parts, timeout_seconds=timeout_seconds)
    try:
        answer = exchange(connection, parts, timeout_seconds=timeout_seconds, max_bytes=max_bytes)
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise WebError(f"GET {shown(parts)}: HTTP {answer.status}; is this the right page?")
    return answer


def exchange(
    connection: HTTPConnection,
    url: SplitResult,
    *,
    timeout_seconds: float,
    max_bytes: int,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """GET, or POST a body, and return whatever is answered, an error status too.

    Raises `WebError` when no whole answer of at most `max_bytes` comes within the time
    (`WebTooLate` when it was the time); the connection is then of no further use.
    """
    begun = time.monotonic()
    method = "GET" if body is None else "POST"
    subject = f"{method} {shown(url)}"
    try:
        if connection.sock is None:
            connection.connect()
        with _Deadline(connection.sock, timeout_seconds) as deadline:
            target = (url.path or "/") + (f"?{url.query}" if url.query else "")
            connection.request(method, target, body, {"Accept-Encoding": "identity", **(headers or {})})
            response = connection.getresponse()
            answered = _body(response, max_bytes)
    except (OSError, HTTPException) as error:
        if isinstance(error, TimeoutError) or elapsed_us(begun) >= timeout_seconds * 1e6:
            raise WebTooLate(_late(subject, timeout_seconds)) from None
        cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise WebError(f"{subject}: {cause}; is it running and listening there?") from None
    if deadline.passed:
        raise WebTooLate(_late(subject, timeout_seconds))
    if len(answered) > max_bytes:
        raise WebError(f"{subject}: answered more than {max_bytes:,} bytes; is this the right page?")
    names = {name.lower(): value for name, value in response.getheaders()}
    return Answer(status=response.status, headers=names, body=answered, took_us=elapsed_us(begun))


def _late(subject: str, seconds: float) -> str:
    return f"{subject}: no whole answer within {seconds:g} s; is the server overloaded?"


def _body(response: HTTPResponse, max_bytes: int) -> bytes:
    body = bytearray()
    while len(body) <= max_bytes and (chunk := response.read(_CHUNK)):
        body += chunk
    if response.length and len(body) <= max_bytes:
        raise HTTPException(f"the answer is cut {response.length:,} bytes before its end")
    return bytes(body)


class _Deadline:
    """Ends a connection at a fixed instant: a socket's own timeout begins anew with every byte."""

    def __init__(self, connected: socket.socket, seconds: float) -> None:
        self.passed = False
        self._socket = connected
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def _end(self) -> None:
        self.passed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
