"""`inferometer proxy`: passes OpenAI-compatible requests through and times every one of them.

A process of its own on one event loop. Every request to a measured path gives one record,
however it ended; the text of prompts and answers is in no record and no log. What it costs and
how much latency it adds: `benchmarks/request_timing.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Final

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, hdrs, web

from collector.requests.counts import Counts
from collector.requests.exchange import Ending, Exchange, failed
from collector.requests.messages import error_response
from collector.requests.passage import ClientGoneError, Passage, UpstreamFailedError
from collector.requests.recorder import OWN_PAGES, Recorder
from collector.requests.settings import ProxySettings
from collector.requests.socket import RecordSender
from telemetry.identity import Vantage

_CLIENT_KEEP_SECONDS: Final = 75.0
"""How long a client's connection may stay without a request."""

_log = logging.getLogger(__name__)


class Proxy:
    """Serves and records requests; everything in it belongs to the event loop's thread."""

    def __init__(self, settings: ProxySettings, *, client: ClientSession, sender: RecordSender) -> None:
        self._settings = settings
        self.recorder = Recorder(settings, sender, Counts(), vantage=Vantage.EDGE)
        self._passage = Passage(settings, client=client, counts=self.recorder.counts)
        self._serving: set[asyncio.Task[object]] = set()
        self._stopping = False

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; the handler of the HTTP server."""
        if request.path.startswith(OWN_PAGES):
            return self._own_page(request)
        exchange = self.recorder.begin(
            request.headers, request.remote, path=request.path, method=request.method
        )
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        ending = failed("proxy_fault")
        try:
            response, ending = await self._answer(request, exchange)
        except asyncio.CancelledError:
            ending = failed("proxy_stopped") if self._stopping else exchange.left()
            raise
        finally:
            self._serving.discard(task)
            self.recorder.end(exchange, ending)
        return response

    async def _answer(
        self, request: web.BaseRequest, exchange: Exchange
    ) -> tuple[web.StreamResponse, Ending]:
        if len(self._serving) > self._settings.max_in_flight:
            self.recorder.counts.refused += 1
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
            self.recorder.counts.faults += 1
            _log.error("serve %s: %s; this is a bug in the proxy", exchange.route, type(error).__name__)
            raise
        return response, exchange.ending()

    def _refused(self, exchange: Exchange, failure: UpstreamFailedError) -> tuple[web.StreamResponse, Ending]:
        exchange.http_status = failure.status
        message = f"The proxy has no answer of the inference server: {failure.error_class}."
        request_id = exchange.caller.shared_id
        response = error_response(failure.status, failure.error_class, message, request_id)
        return response, failed(failure.error_class)

    async def stop(self) -> None:
        """Let running requests end for at most `drain_seconds`, then cut them."""
        tasks = set(self._serving)
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=self._settings.drain_seconds)
        self._stopping = True
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    def _own_page(self, request: web.BaseRequest) -> web.StreamResponse:
        page = request.path.removeprefix(OWN_PAGES)
        if not self.recorder.sees(request.remote) or page not in ("metrics", "health"):
            return web.Response(status=404, text="not found\n")
        if page == "health":
            return web.Response(text="ok\n")
        return web.Response(text=self.recorder.page("proxy"), content_type="text/plain")


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
        # A connection for each request: one that is kept may be closed by its server just as the next
        # request is sent, and a request that may have begun cannot be sent again.
        connector=TCPConnector(limit=0, force_close=True),
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
        sys.stdout.write(f"ready: {serving.url}\n")
        sys.stdout.flush()
        await told.wait()


def _run(work: Coroutine[object, object, None]) -> None:
    """Run on uvloop where it is installed: a third less CPU for each chunk."""
    try:
        import uvloop  # noqa: PLC0415 - it weighs more than the agent may
    except ModuleNotFoundError:
        asyncio.run(work)
    else:
        uvloop.run(work)


def run(settings: ProxySettings) -> int:
    """Run the proxy until SIGTERM or SIGINT; return the exit status. Prints `ready: URL`."""
    try:
        _run(_serve_until_told(settings))
    except OSError as error:
        hint = "is the port taken, the address another host's?"
        sys.stderr.write(f"proxy: cannot listen on {settings.listen}: {error.strerror}; {hint}\n")
        return 1
    return 0
