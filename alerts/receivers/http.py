"""One POST to a checked address: no redirects, no proxies, bounded in time and in bytes.

The body of the answer is never read: a receiver's words reach nobody.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from alerts.addresses import Network, Resolve, destination, system_resolve
from alerts.errors import DeliveryError
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_SECOND

CONNECT_SECONDS: Final = 5.0
MAX_RETRY_AFTER_US: Final = 24 * MICROS_PER_HOUR
"""Longest wait a receiver may ask for; a longer one is cut to this."""
_GONE: Final = 410
_TRANSIENT: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer: status and the wait it asks for (None = none)."""

    status: int
    retry_after_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Poster:
    """Posts bodies. `total_seconds` bounds one attempt from look-up to status, drips included."""

    total_seconds: float = 15.0
    allowed: tuple[Network, ...] = ()
    resolve: Resolve = system_resolve
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def post(self, url: httpx.URL, body: bytes, headers: Mapping[str, str], now_us: int) -> Answer:
        """Post once. Raises `DeliveryError` when there is no answer, whatever the reason."""
        where = destination(url, allowed=self.allowed, resolve=self.resolve)
        timeout = httpx.Timeout(self.total_seconds, connect=min(CONNECT_SECONDS, self.total_seconds))
        client = httpx.Client(verify=self.tls, timeout=timeout, trust_env=False, follow_redirects=False)
        # A timeout bounds each read; the clock bounds a receiver that drips one byte a second.
        clock = threading.Timer(self.total_seconds, client.close)
        clock.start()
        try:
            request = client.build_request(
                "POST",
                url.copy_with(host=where.address),
                content=body,
                headers={**headers, "host": url.netloc.decode()},
                extensions={"sni_hostname": url.host},
            )
            response = client.send(request, stream=True)
            return Answer(response.status_code, _retry_after(response.headers.get("retry-after"), now_us))
        except (httpx.HTTPError, OSError, RuntimeError) as error:
            raise DeliveryError(_no_answer(url, error)) from None
        finally:
            clock.cancel()
            client.close()


def verdict(answer: Answer, host: str) -> int:
    """Return the status of a 2xx answer; raise for any other one.

    408, 425, 429 and 5xx are worth another try; 410 disables the receiver; redirects and
    every other 4xx are permanent. (Standard Webhooks 1.0.0; Alertmanager notify/util.go.)
    """
    status = answer.status
    if 200 <= status < 300:
        return status
    transient = status in _TRANSIENT or status >= 500
    hint = "follow it yourself and configure the final URL" if 300 <= status < 400 else _HINT.get(status, "")
    raise DeliveryError(
        f"post to {host}: answered {status}" + (f"; {hint}" if hint else ""),
        permanent=not transient,
        status=status,
        retry_after_us=answer.retry_after_us if transient else None,
        gone=status == _GONE,
    )


_HINT: Final[dict[int, str]] = {
    401: "check the secret",
    403: "check the secret and who may call it",
    404: "check the path of the URL",
    410: "the receiver is gone and now disabled; enable it when it is back",
    413: "the body is too large for it; group fewer alerts",
    429: "it asks to slow down",
}


def _no_answer(url: httpx.URL, error: Exception) -> str:
    cause = "took too long" if isinstance(error, httpx.TimeoutException | RuntimeError) else str(error)
    return f"post to {url.host}: no answer ({cause or type(error).__name__}); check that it is up"


def _retry_after(text: str | None, now_us: int) -> int | None:
    """Read Retry-After, seconds or a date; None = absent or unreadable."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        wait_us = int(text[:9]) * MICROS_PER_SECOND
    else:
        try:
            until: datetime = parsedate_to_datetime(text)
        except ValueError:
            return None
        wait_us = int(until.timestamp() * MICROS_PER_SECOND) - now_us
    return min(max(wait_us, 0), MAX_RETRY_AFTER_US)
