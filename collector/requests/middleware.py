"""Route (b): ASGI middleware that times every token from inside an OpenAI-compatible engine.

    export INFEROMETER_MIDDLEWARE_SOCKET=/run/inferometer/records.sock
    vllm serve MODEL --middleware collector.requests.middleware.InferometerMiddleware

It needs nothing but the standard library; `inferometer middleware FILE` writes it with what it
imports into one file to lay beside an engine. It never harms the engine: a fault of its own is
counted and the request passes as if it were not there, a wrong setting is logged and nothing is
measured. How it is used, what it gives and what it costs: `docs/requests.md`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any, Final

from collector.requests.bodies import Body, OpaqueBody, reader
from collector.requests.counts import Counts
from collector.requests.exchange import Ending, Exchange, failed
from collector.requests.recorder import OWN_PAGES, Recorder, now_us
from collector.requests.settings import MiddlewareSettings, SettingsError, load_middleware_settings
from collector.requests.socket import RecordSender
from telemetry.identity import Vantage

Message = MutableMapping[str, Any]
"""A scope or an event, as the ASGI specification has it."""
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_log: Final = logging.getLogger(__name__)


class InferometerMiddleware:
    """Wraps an ASGI application; everything but measured requests passes untouched."""

    def __init__(self, app: App, settings: MiddlewareSettings | None = None) -> None:
        self._app = app
        self._settings = settings or _settings()
        self._counts = Counts()
        self._sender: RecordSender | None = None
        self._recorder: Recorder | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection, as the ASGI specification has it."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif page := self._own_page(scope):
            await _answer(send, page)
        elif crossing := self._crossing(scope, receive, send):
            await crossing.serve(self._app, scope)
        else:
            await self._app(scope, receive, send)

    async def _live(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            if self._sender is not None:
                await asyncio.to_thread(self._sender.close)

    def _own_page(self, scope: Message) -> str | None:
        """Return the counters when they are asked for by somebody near; else None."""
        if scope["type"] != "http" or scope["path"] != f"{OWN_PAGES}metrics" or self._settings is None:
            return None
        recorder = self._started(self._settings)
        return recorder.page("middleware") if recorder.sees(_peer(scope)) else None

    def _started(self, settings: MiddlewareSettings) -> Recorder:
        """Start with the first request: in the process that serves, after any fork."""
        if self._recorder is None:
            self._sender = RecordSender(settings.socket)
            self._recorder = Recorder(settings, self._sender, self._counts, vantage=Vantage.ENGINE)
        return self._recorder

    def _crossing(self, scope: Message, receive: Receive, send: Send) -> _Crossing | None:
        """Begin to measure a request; None for anything that is not to be measured, or cannot be."""
        if scope["type"] != "http" or self._settings is None:
            return None
        with _Harmless(self._counts):
            recorder = self._started(self._settings)
            exchange = recorder.begin(
                _headers(scope), _peer(scope), path=scope["path"], method=scope["method"]
            )
            exchange.replica = self._settings.replica or _replica(scope, self._settings.host)
            if exchange.measured:
                return _Crossing(recorder, exchange, receive, send)
            recorder.forget(exchange)
        return None


class _Crossing:
    """One measured request on its way through the application."""

    def __init__(self, recorder: Recorder, exchange: Exchange, receive: Receive, send: Send) -> None:
        self._recorder = recorder
        self._exchange = exchange
        self._receive = receive
        self._send = send
        self._ahead: deque[Message] = deque()
        """Events read from the client that the application has not taken yet."""
        self._body: Body | None = None
        self._over = False
        """Whether the application gave the whole answer."""
        self._gone = False
        """Whether the client left before that."""
        self._harmless = _Harmless(recorder.counts)

    async def serve(self, app: App, scope: Message) -> None:
        """Let the application answer, and send the record however that ends."""
        unfinished = "stream_cut"
        try:
            await self._read_ahead(scope)
            await app(scope, self._take, self._give)
        except asyncio.CancelledError:
            self._gone = True  # by a server that cancels what nobody waits for
            raise
        except Exception:
            unfinished = "app_error"
            self._exchange.http_status = self._exchange.http_status or 500
            raise
        finally:
            if not self._over:
                self._end(self._exchange.left() if self._gone else failed(unfinished))

    async def _read_ahead(self, scope: Message) -> None:
        """Read the request's body, up to a bound, before the application asks for it."""
        most_bytes = self._exchange.settings.inspect_bytes
        more, size = True, 0
        while more and size <= most_bytes:
            message = await self._receive()
            self._ahead.append(message)
            if message["type"] != "http.request":
                return
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        compressed = _headers(scope).get("content-encoding", "identity") != "identity"
        if more or size > most_bytes or compressed:
            self._recorder.counts.uninspected += 1
            return
        with self._harmless:
            self._ask(scope)

    def _ask(self, scope: Message) -> None:
        body = b"".join(message.get("body", b"") for message in self._ahead)
        asking = self._exchange.ask(body)
        length = str(len(asking)).encode()
        scope["headers"] = [
            (name, length if name == b"content-length" else value) for name, value in scope["headers"]
        ]
        self._ahead = deque([{"type": "http.request", "body": asking, "more_body": False}])

    async def _take(self) -> Message:
        """Hand the application the client's next event."""
        message = self._ahead.popleft() if self._ahead else await self._receive()
        self._gone = self._gone or (message["type"] == "http.disconnect" and not self._over)
        return message

    async def _give(self, message: Message) -> None:
        """Hand the server the application's next event, stamped when it was given."""
        passed = self._seen(message)
        if passed is None:
            return
        try:
            await self._send(passed)
        except OSError:
            self._gone = not self._over
            raise
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._over = True
            self._end(self._exchange.left() if self._gone else self._exchange.ending())

    def _seen(self, message: Message) -> Message | None:
        """Meter one event of the answer; return what goes on of it, None when nothing does."""
        if self._harmless.failed:
            return message
        held = self._body.held if self._body else b""
        with self._harmless:
            return self._begun(message) if message["type"] == "http.response.start" else self._read(message)
        return {**message, "body": held + message["body"]} if held else message

    def _begun(self, message: Message) -> Message:
        exchange = self._exchange
        exchange.http_status = message["status"]
        headers = _headers(message)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        plain = headers.get("content-encoding", "identity") == "identity"
        self._body = reader(kind, exchange.meter, plain=plain, strip=exchange.usage_added)
        self._recorder.counts.unreadable += isinstance(self._body, OpaqueBody)
        exchange.streamed = self._body.streamed
        if not exchange.usage_added or not self._body.streamed:
            return message
        kept = [(name, value) for name, value in message["headers"] if name.lower() != b"content-length"]
        return {**message, "headers": kept}

    def _read(self, message: Message) -> Message | None:
        if message["type"] != "http.response.body" or self._body is None:
            return message
        at_us = now_us()
        data, more = message.get("body", b""), message.get("more_body", False)
        passed = self._body.take(data, at_us) if data else b""
        if not more:
            passed += self._body.end(at_us)
        if passed == data:
            return message
        return {**message, "body": passed} if passed or not more else None

    def _end(self, ending: Ending) -> None:
        with self._harmless:
            if self._harmless.failed:
                self._recorder.forget(self._exchange)
            else:
                self._recorder.end(self._exchange, ending)


class _Harmless:
    """Keeps our own faults from the engine: they are counted and logged by their kind, never raised.

    After the first one its request is measured no more and passes as it is.
    """

    def __init__(self, counts: Counts) -> None:
        self.failed = False
        self._counts = counts

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self.failed = True
        self._counts.faults += 1
        _log.error("measure a request: %s; this is a bug, the request passes", type(error).__name__)
        return True


def _settings() -> MiddlewareSettings | None:
    """Return the settings of the environment; None when they cannot be, which is logged."""
    try:
        return load_middleware_settings(os.environ)
    except SettingsError as error:
        _log.error("no request is measured: %s", error)
        return None


def _headers(of: Message) -> dict[str, str]:
    """Return the headers of a scope or an answer, their names in lower case."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in of.get("headers", ())}


def _peer(scope: Message) -> str | None:
    return scope["client"][0] if scope.get("client") else None


def _replica(scope: Message, host: str) -> str | None:
    """Return host:port, as the agent on this host names its engines; None on a Unix socket."""
    port = (scope.get("server") or (None, None))[1]
    return f"{host}:{port}" if port else None


async def _answer(send: Send, page: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": page.encode()})
