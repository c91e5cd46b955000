"""Who a request is for: tenant, request id, which attempt, a probe of our own or not.

An authenticated API key names the tenant; a header does only when a trusted peer sent it. A
request whose id was seen before is a further attempt of the same. Bounded, standard library and
`telemetry` only.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from collector.requests.settings import Network, TimingSettings
from telemetry.identity import MAX_NAME_LENGTH, OTHER_TENANT, UNKNOWN_TENANT

REQUEST_ID: Final = "X-Request-Id"
SYNTHETIC: Final = "X-Inferometer-Synthetic"
RETRY_COUNT: Final = "X-Stainless-Retry-Count"
"""How OpenAI's own clients say which attempt a request is; the first is 0."""
MAX_REMEMBERED: Final = 4096
"""Ids of the latest requests among which an earlier attempt is looked for."""
_KEY_HEADERS: Final = ("x-api-key", "api-key")
LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_ATTEMPT: Final = re.compile(r"\d{1,3}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent one request."""

    request_id: str
    """Its own: a further attempt has `#2`, `#3` ... after the id that it was sent under."""
    tenant: str
    synthetic: bool
    retry: int = 0
    """How many attempts came before, as seen here or as the client says."""
    retry_of: str | None = None
    """The id of the first attempt, which all share; None for a first attempt or an unknown one."""

    @property
    def shared_id(self) -> str:
        """The id under which client and engine know it."""
        return self.retry_of or self.request_id


class LabelCap:
    """Lets the first `limit` names through, folds the rest into one, and counts them."""

    def __init__(self, limit: int, known: frozenset[str] = frozenset()) -> None:
        self._seen = {UNKNOWN_TENANT, OTHER_TENANT, *known}
        self._spare = limit - len(known)
        self.folded = 0

    def admit(self, name: str, *, learn: bool = True) -> str:
        """Return the name, or `__other__` when it is new and the cap is reached or not to be learnt."""
        if name in self._seen:
            return name
        if not learn or self._spare <= 0:
            self.folded += 1
            return OTHER_TENANT
        self._spare -= 1
        self._seen.add(name)
        return name


class Attempts:
    """Counts requests under the same id, of the latest `MAX_REMEMBERED` ids."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, int] = OrderedDict()

    def before(self, request_id: str) -> int:
        """Return how many requests came with this id before, and count this one."""
        before = self._seen.pop(request_id, 0)
        self._seen[request_id] = before + 1
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)
        return before


class Callers:
    """Tells callers apart; one for the life of a proxy or middleware, used from one thread."""

    def __init__(self, settings: TimingSettings) -> None:
        self._tenants = settings.tenants
        self._header = settings.tenant_header.lower()
        self._trusted = settings.trusted
        self._attempts = Attempts()
        self.tenants = LabelCap(settings.tenant_cap, frozenset(settings.tenants.values()))

    def identify(self, headers: Mapping[str, str], peer: str | None) -> Caller:
        """Return who sends these headers, their names in lower case, from the address `peer`."""
        trusted = is_within(peer, self._trusted)
        given = headers.get(REQUEST_ID.lower(), "")
        before = self._attempts.before(given) if _is_name(given) else 0
        request_id = given if _is_name(given) else str(uuid.uuid4())
        return Caller(
            request_id=f"{request_id[: MAX_NAME_LENGTH - 8]}#{before + 1}" if before else request_id,
            tenant=self._tenant(headers, trusted=trusted),
            synthetic=trusted and SYNTHETIC.lower() in headers,
            retry=max(before, _attempts_said(headers)),
            retry_of=request_id if before else None,
        )

    def _tenant(self, headers: Mapping[str, str], *, trusted: bool) -> str:
        if tenant := self._tenants.get(_key_digest(headers)):
            return tenant
        named = headers.get(self._header, "") if trusted else ""
        return self.tenants.admit(named) if _is_name(named) else UNKNOWN_TENANT


def is_within(peer: str | None, networks: tuple[Network, ...]) -> bool:
    """Tell whether an address is in one of the networks; false for None and for what is no address."""
    if not networks or not peer:
        return False
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return any((mapped or address) in network for network in networks)


def _key_digest(headers: Mapping[str, str]) -> str:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        key = next((headers[name] for name in _KEY_HEADERS if name in headers), "")
    return hashlib.sha256(key.strip().encode(errors="surrogateescape")).hexdigest() if key else ""


def _attempts_said(headers: Mapping[str, str]) -> int:
    said = headers.get(RETRY_COUNT.lower(), "")
    return int(said) if _ATTEMPT.fullmatch(said) else 0


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME_LENGTH and text.isprintable()
