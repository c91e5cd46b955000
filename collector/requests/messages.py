"""HTTP messages between client and upstream: which headers pass, how a body is read, our own errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Final

from aiohttp import ClientResponse, hdrs, web
from multidict import CIMultiDict

from collector.requests.callers import REQUEST_ID

_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_UPSTREAM: Final = frozenset({"host", "expect", REQUEST_ID.lower()})
_SLICE_BYTES: Final = 256 * 1024

Sent = bytes | AsyncIterator[bytes] | None
"""A request's body on its way upstream: whole, passing through, or none."""


def _end_to_end(headers: Mapping[str, str], dropped: frozenset[str]) -> CIMultiDict[str]:
    listed = headers.get(hdrs.CONNECTION, "").lower().split(",")
    gone = dropped | _HOP_BY_HOP | {name.strip() for name in listed}
    kept = ((name, value) for name, value in headers.items() if name.lower() not in gone)
    return CIMultiDict((name, value) for name, value in kept if _is_text(value))


def _is_text(value: str) -> bool:
    """Tell whether a header's bytes were UTF-8; others cannot be written again and are left out."""
    return value.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in value)


def request_headers(request: web.BaseRequest, request_id: str, *, readable: bool) -> CIMultiDict[str]:
    """Return the headers to send upstream; with `readable` the answer is asked for uncompressed."""
    headers = _end_to_end(request.headers, _NOT_UPSTREAM)
    headers[REQUEST_ID] = request_id
    if readable:
        headers[hdrs.ACCEPT_ENCODING] = "identity"
    return headers


def answer_headers(answer: ClientResponse, request_id: str, *, resized: bool) -> CIMultiDict[str]:
    """Return the headers to send to the client; with `resized` the stated length no longer holds."""
    dropped = frozenset({"content-length"}) if resized else frozenset[str]()
    headers = _end_to_end(answer.headers, dropped)
    headers.setdefault(REQUEST_ID, request_id)
    if is_events(answer):
        headers.setdefault("X-Accel-Buffering", "no")
    return headers


def is_events(answer: ClientResponse) -> bool:
    """Tell whether an answer comes as server-sent events."""
    return answer.content_type == "text/event-stream"


def is_plain(headers: Mapping[str, str]) -> bool:
    """Tell whether a body is not compressed."""
    return headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() in ("identity", "")


def target(request: web.BaseRequest) -> str:
    """Return the path and query asked for, as they were written."""
    raw = request.raw_path
    return raw if raw.startswith("/") else request.rel_url.raw_path_qs


async def invite_body(request: web.BaseRequest) -> None:
    """Answer `Expect: 100-continue`, for which some clients wait before they send the body."""
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


async def read_body(request: web.BaseRequest, most_bytes: int) -> Sent:
    """Return the body whole when it has at most `most_bytes`, else passing through; None if none."""
    if not request.can_read_body:
        return None
    if (request.content_length or 0) > most_bytes:
        return request.content.iter_any()
    held = bytearray()
    async for data in request.content.iter_any():
        held += data
        if len(held) > most_bytes:
            return _passing(bytes(held), request)
    return bytes(held)


async def _passing(read: bytes, request: web.BaseRequest) -> AsyncIterator[bytes]:
    yield read
    async for data in request.content.iter_any():
        yield data


async def _slices(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _SLICE_BYTES):
        yield body[start : start + _SLICE_BYTES]


def sendable(body: Sent, headers: CIMultiDict[str]) -> Sent:
    """Return a body as the HTTP client should send it, the length in `headers` made true."""
    if not isinstance(body, bytes):
        return body
    headers[hdrs.CONTENT_LENGTH] = str(len(body))
    return body if len(body) <= _SLICE_BYTES else _slices(body)


def error_response(status: int, code: str, message: str, request_id: str) -> web.Response:
    """Return an error of the proxy's own in the form OpenAI clients read."""
    body = {"error": {"message": message, "type": "proxy_error", "param": None, "code": code}}
    response = web.Response(status=status, body=json.dumps(body).encode(), content_type="application/json")
    response.headers[REQUEST_ID] = request_id
    if status == web.HTTPServiceUnavailable.status_code:
        response.headers[hdrs.RETRY_AFTER] = "1"
    return response
