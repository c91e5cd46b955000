"""`inferometer proxy`: passes OpenAI-compatible requests through and times every one of them.

A process of its own on one event loop. Every request to a measured path gives one record,
however it ended; the text of prompts and answers is in no record and no log. What it costs and
how much latency it adds: `benchmarks/proxy.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import islice
from typing import Final

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, hdrs, web

from collector.requests.callers import Callers, LabelCap, is_within
from collector.requests.counts import Counts, Level, exposition
from collector.requests.exchange import Ending, Exchange, failed
from collector.requests.messages import error_response
from collector.requests.passage import MEASURED, ClientGoneError, Passage, UpstreamFailedError, now_us
from collector.requests.settings import ProxySettings
from collector.requests.socket import RecordSender
from telemetry.identity import MAX_NAME_LENGTH, OTHER_TENANT
from telemetry.units import MICROS_PER_SECOND, NANOS_PER_MICRO

OWN_PAGES: Final = "/-/inferometer/"
"""Paths that are never passed on; answered for loopback and trusted peers only."""
_NOT_LEARNT: Final = frozenset({400, 401, 403, 404, 422})
"""A request answered so may name any model; its name takes no place under the cap."""
_UPSTREAM_KEEP_SECONDS: Final = 2.0
"""Idle upstream connections are let go before any server's own time-out can race a request."""
_CLIENT_KEEP_SECONDS: Final = 75.0
"""How long a client's connection may stay without a request."""

_log = logging.getLogger(__name__)
_LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


class Proxy:
    """Serves and records requests; everything in it belongs to the event loop's thread."""

    def __init__(self, settings: ProxySettings, *, client: ClientSession, sender: RecordSender) -> None:
        self._settings = settings
        self._sender = sender
        self.counts = Counts()
        self._passage = Passage(settings, client=client, counts=self.counts)
        self._callers = Callers(settings)
        self._models = LabelCap(settings.model_cap)
        self._running: dict[asyncio.Task[object], Exchange] = {}
        self._stopping = False

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; the handler of the HTTP server."""
        if request.path.startswith(OWN_PAGES):
            return self._own_page(request)
        exchange = self._exchange(request)
        task = asyncio.current_task()
        assert task is not None
        self._running[task] = exchange
        ending = failed("proxy_fault")
        try:
            response, ending = await self._answer(request, exchange)
        except asyncio.CancelledError:
            ending = failed("proxy_stopped") if self._stopping else exchange.left()
            raise
        finally:
            del self._running[task]
            self._ended(exchange, ending)
        return response

    def _exchange(self, request: web.BaseRequest) -> Exchange:
        route = next((path for path in MEASURED if request.path.endswith(path)), None)
        return Exchange(
            caller=self._callers.identify(request.headers, request.remote),
            route=route if request.method == hdrs.METH_POST else None,
            started_at_us=time.time_ns() // NANOS_PER_MICRO,
            started_us=now_us(),
            settings=self._settings,
            admit=self._admit_model,
        )

    def _admit_model(self, name: str, status: int | None) -> str:
        if len(name) > MAX_NAME_LENGTH or not name.isprintable():
            return OTHER_TENANT
        return self._models.admit(name, learn=status not in _NOT_LEARNT)

    async def _answer(
        self, request: web.BaseRequest, exchange: Exchange
    ) -> tuple[web.StreamResponse, Ending]:
        if len(self._running) > self._settings.max_in_flight:
            self.counts.refused += 1
            return self._refused(exchange, UpstreamFailedError("too_many_in_flight", 503))
        response = web.StreamResponse()
        try:
            await self._passage.forward(request, response, exchange)
        except UpstreamFailedError as failure:
            if not response.prepared:
                return self._refused(exchange, failure)
            if request.transport is not None:
                request.transport.close()  # without the end mark: the client sees that it was cut
            return response, failed(failure.error_class)
        except ClientGoneError:
            if request.transport is not None:
                request.transport.abort()
            return response, exchange.left()
        except Exception as error:
            self.counts.faults += 1
            _log.error("serve %s: %s; this is a bug in the proxy", exchange.route, type(error).__name__)
            raise
        return response, exchange.ending()

    def _refused(self, exchange: Exchange, failure: UpstreamFailedError) -> tuple[web.StreamResponse, Ending]:
        exchange.http_status = failure.status
        message = f"The proxy has no answer of the inference server: {failure.error_class}."
        request_id = exchange.caller.request_id
        response = error_response(failure.status, failure.error_class, message, request_id)
        return response, failed(failure.error_class)

    def _ended(self, exchange: Exchange, ending: Ending) -> None:
        if not exchange.measured:
            self.counts.passed += 1
            return
        self.counts.ended[ending.status] += 1
        record = exchange.record(ending, now_us())
        self._sender.send(record)
        if gaps := exchange.gaps(record):
            self._sender.send(gaps)

    def _measured(self) -> list[Exchange]:
        """Measured requests under way, oldest first."""
        return [exchange for exchange in self._running.values() if exchange.measured]

    async def tell_of_running(self) -> None:
        """Send a snapshot of each request older than a second, every second, for ever."""
        while True:
            await asyncio.sleep(1.0)
            now = now_us()
            old = (one for one in self._measured() if now - one.started_us >= MICROS_PER_SECOND)
            for exchange in islice(old, self._settings.in_flight_most):
                self._sender.send(exchange.snapshot(now))

    async def stop(self) -> None:
        """Let running requests end for at most `drain_seconds`, then cut them."""
        tasks = set(self._running)
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=self._settings.drain_seconds)
        self._stopping = True
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    def _own_page(self, request: web.BaseRequest) -> web.StreamResponse:
        page = request.path.removeprefix(OWN_PAGES)
        near = is_within(request.remote, (*_LOOPBACK, *self._settings.trusted))
        if not near or page not in ("metrics", "health"):
            return web.Response(status=404, text="not found\n")
        if page == "health":
            return web.Response(text="ok\n")
        return web.Response(text=exposition(self.counts, self._level()), content_type="text/plain")

    def _level(self) -> Level:
        running = self._measured()
        return Level(
            in_flight=len(running),
            oldest_us=now_us() - running[0].started_us if running else 0,
            agent_reached=self._sender.connected,
            records_waiting=self._sender.waiting,
            records_sent=self._sender.sent,
            records_lost=dict(self._sender.lost),
            tenants_folded=self._callers.tenants.folded,
            models_folded=self._models.folded,
        )


@dataclass(frozen=True, slots=True)
class Serving:
    """A proxy that listens."""

    proxy: Proxy
    url: str


@contextlib.asynccontextmanager
async def serve(settings: ProxySettings) -> AsyncIterator[Serving]:
    """Listen and serve until the block is left; then drain, as `Proxy.stop` says.

    Raises `OSError` when the address cannot be listened on.
    """
    sender = RecordSender(settings.socket)
    try:
        async with _client(settings) as client:
            proxy = Proxy(settings, client=client, sender=sender)
            runner = web.ServerRunner(_server(proxy, settings), shutdown_timeout=1.0)
            await runner.setup()
            try:
                yield Serving(proxy, await _listen(runner, settings))
            finally:
                for site in runner.sites:
                    await site.stop()
                await proxy.stop()
                await runner.cleanup()
    finally:
        await asyncio.to_thread(sender.close)


def _client(settings: ProxySettings) -> ClientSession:
    return ClientSession(
        connector=TCPConnector(limit=0, keepalive_timeout=_UPSTREAM_KEEP_SECONDS),
        timeout=ClientTimeout(
            total=None, sock_connect=settings.connect_seconds, sock_read=settings.upstream_idle_seconds
        ),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=(hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.USER_AGENT, hdrs.CONTENT_TYPE),
        max_line_size=settings.header_bytes,
        max_field_size=settings.header_bytes,
    )


def _server(proxy: Proxy, settings: ProxySettings) -> web.Server:
    quiet = logging.getLogger(f"{__name__}.http")
    quiet.disabled = True  # its messages quote what clients sent; ours name the kind of error
    return web.Server(
        proxy.handle,
        handler_cancellation=True,  # a client that goes away stops its upstream at once
        auto_decompress=False,
        access_log=None,
        keepalive_timeout=_CLIENT_KEEP_SECONDS,
        logger=quiet,
        max_line_size=settings.header_bytes,
        max_field_size=settings.header_bytes,
    )


async def _listen(runner: web.ServerRunner, settings: ProxySettings) -> str:
    host, port = settings.address
    await web.TCPSite(runner, host, port, backlog=1024).start()
    bound = runner.addresses[0]
    return f"http://{settings.listen.rpartition(':')[0]}:{bound[1]}"


async def _serve_until_told(settings: ProxySettings) -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with serve(settings) as serving:
        telling = asyncio.create_task(serving.proxy.tell_of_running())
        sys.stdout.write(f"ready: {serving.url}\n")
        sys.stdout.flush()
        await told.wait()
        telling.cancel()


def run(settings: ProxySettings) -> int:
    """Run the proxy until SIGTERM or SIGINT; return the exit status. Prints `ready: URL`."""
    try:
        asyncio.run(_serve_until_told(settings))
    except OSError as error:
        hint = "is the port taken, the address another host's?"
        sys.stderr.write(f"proxy: cannot listen on {settings.listen}: {error.strerror}; {hint}\n")
        return 1
    return 0
