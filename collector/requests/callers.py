"""Who a request is for: tenant, request id, whether it is a probe of our own. Bounded, stdlib only.

An authenticated API key names the tenant; a header does only when a trusted peer sent it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from collector.requests.settings import Network, ProxySettings
from telemetry.identity import MAX_NAME_LENGTH, OTHER_TENANT, UNKNOWN_TENANT

REQUEST_ID: Final = "X-Request-Id"
SYNTHETIC: Final = "X-Inferometer-Synthetic"
_KEY_HEADERS: Final = ("x-api-key", "api-key")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent one request."""

    request_id: str
    tenant: str
    synthetic: bool


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


class Callers:
    """Tells callers apart; one for the proxy's life, used from one thread."""

    def __init__(self, settings: ProxySettings) -> None:
        self._tenants = settings.tenants
        self._header = settings.tenant_header
        self._trusted = settings.trusted
        self.tenants = LabelCap(settings.tenant_cap, frozenset(settings.tenants.values()))

    def identify(self, headers: Mapping[str, str], peer: str | None) -> Caller:
        """Return who sends these headers from the address `peer`. Headers match in any case."""
        trusted = is_within(peer, self._trusted)
        given = headers.get(REQUEST_ID, "")
        return Caller(
            request_id=given if _is_name(given) else str(uuid.uuid4()),
            tenant=self._tenant(headers, trusted=trusted),
            synthetic=trusted and SYNTHETIC in headers,
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
    scheme, _, key = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        key = next((headers[name] for name in _KEY_HEADERS if name in headers), "")
    return hashlib.sha256(key.strip().encode(errors="surrogateescape")).hexdigest() if key else ""


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME_LENGTH and text.isprintable()
