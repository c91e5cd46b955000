"""One request's way through: read from the client, asked of an upstream, the answer handed back.

Each read of the answer is stamped before it is handed on. Upstream is read ahead of a slow
client by at most `read_ahead_bytes`, beyond which reading (and so the stamps) waits for it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientSSLError,
    ConnectionTimeoutError,
    hdrs,
    web,
)
from aiohttp.http import HttpProcessingError
from yarl import URL

from collector.requests.bodies import Body, OpaqueBody, reader
from collector.requests.counts import Counts
from collector.requests.exchange import Exchange
from collector.requests.messages import (
    Sent,
    answer_headers,
    invite_body,
    is_plain,
    read_body,
    request_headers,
    sendable,
    target,
)
from collector.requests.recorder import now_us
from collector.requests.settings import ProxySettings
from collector.requests.upstreams import Upstream, Upstreams

_FAILURES: Final = (ClientError, HttpProcessingError, TimeoutError, OSError)
_UNREACHABLE: Final = (ClientConnectorError, ClientSSLError, ConnectionTimeoutError)


@dataclass(slots=True)
class UpstreamFailedError(Exception):
    """Upstream gave no whole answer; `status` is what the client is told if it is not too late."""

    error_class: str
    status: int = 502


class ClientGoneError(Exception):
    """The client went away, or left a full buffer unread for too long."""


class Passage:
    """Passes requests through; what it notes of one is in its `Exchange`."""

    def __init__(self, settings: ProxySettings, *, client: ClientSession, counts: Counts) -> None:
        self._settings = settings
        self._client = client
        self._counts = counts
        self._upstreams = Upstreams(
            [
                Upstream(url.rstrip("/"), settings.replica_of(place))
                for place, url in enumerate(settings.upstream)
            ]
        )

    async def forward(
        self, request: web.BaseRequest, response: web.StreamResponse, exchange: Exchange
    ) -> None:
        """Fill `response` with upstream's answer to `request`.

        Raises `UpstreamFailedError` (the response may be under way) and `ClientGoneError`.
        """
        try:
            async with asyncio.timeout(self._settings.client_stall_seconds):
                await invite_body(request)
                body = await self._body(request, exchange)
        except (web.RequestPayloadError, TimeoutError, OSError):
            raise ClientGoneError from None
        server = self._upstreams.choose(time.monotonic())
        exchange.replica = server.replica
        server.in_flight += 1
        try:
            answer = await self._ask(server, request, body, exchange)
            try:
                await self._relay(answer, request, response, exchange)
            finally:
                answer.close()
        finally:
            server.in_flight -= 1

    async def _body(self, request: web.BaseRequest, exchange: Exchange) -> Sent:
        """Return the body to send on, noting what it asks for; a usage chunk is asked for besides."""
        if not exchange.measured:
            return await read_body(request, 0)
        body = await read_body(request, self._settings.inspect_bytes if is_plain(request.headers) else 0)
        if not isinstance(body, bytes):
            self._counts.uninspected += 1
            return body
        return exchange.ask(body)

    async def _ask(
        self, server: Upstream, request: web.BaseRequest, body: Sent, exchange: Exchange
    ) -> ClientResponse:
        headers = request_headers(request, exchange.caller.shared_id, readable=exchange.measured)
        try:
            return await self._client.request(
                request.method,
                URL(server.url + target(request), encoded=True),
                headers=headers,
                data=sendable(body, headers),
                allow_redirects=False,
            )
        except _FAILURES as error:
            raise self._failure(error, server) from None

    def _failure(self, error: BaseException, server: Upstream) -> UpstreamFailedError:
        if isinstance(error, _UNREACHABLE):
            self._upstreams.unreachable(server, time.monotonic())
        if isinstance(error, TimeoutError):
            return UpstreamFailedError("upstream_timeout", 504)
        return UpstreamFailedError("upstream_refused" if isinstance(error, _UNREACHABLE) else "upstream_cut")

    async def _relay(
        self,
        answer: ClientResponse,
        request: web.BaseRequest,
        response: web.StreamResponse,
        exchange: Exchange,
    ) -> None:
        exchange.http_status = answer.status
        body = self._reader(answer, exchange)
        exchange.streamed = body.streamed
        response.set_status(answer.status, answer.reason)
        resized = exchange.usage_added and body.streamed
        response.headers.extend(answer_headers(answer, exchange.caller.shared_id, resized=resized))
        await self._open(request, response)
        while data := await _read(answer):
            if passed := body.take(data, now_us()):
                await self._write(request, response, passed)
        if rest := body.end(now_us()):
            await self._write(request, response, rest)

    def _reader(self, answer: ClientResponse, exchange: Exchange) -> Body:
        plain = is_plain(answer.headers)
        body = reader(answer.content_type, exchange.meter, plain=plain, strip=exchange.usage_added)
        self._counts.unreadable += exchange.measured and isinstance(body, OpaqueBody)
        return body

    async def _open(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        if request.transport is None:
            raise ClientGoneError
        request.transport.set_write_buffer_limits(high=self._settings.read_ahead_bytes)
        try:
            writer = await response.prepare(request)
            if writer is not None and hdrs.CONTENT_LENGTH not in response.headers:
                writer.send_headers()  # at once: the first byte of the body may be long in coming
        except ConnectionError:
            raise ClientGoneError from None

    async def _write(self, request: web.BaseRequest, response: web.StreamResponse, data: bytes) -> None:
        transport = request.transport
        if transport is None:
            raise ClientGoneError
        try:
            if transport.get_write_buffer_size() + len(data) <= self._settings.read_ahead_bytes:
                await response.write(data)
                return
            async with asyncio.timeout(self._settings.client_stall_seconds):
                await response.write(data)
        except (ConnectionError, TimeoutError):
            raise ClientGoneError from None


async def _read(answer: ClientResponse) -> bytes:
    try:
        return await answer.content.readany()
    except TimeoutError:
        raise UpstreamFailedError("upstream_timeout", 504) from None
    except _FAILURES:
        raise UpstreamFailedError("upstream_cut") from None
