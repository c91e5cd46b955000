"""Where a webhook may go: the guard against requests to our own network (SSRF).

The rule: the host is resolved once, every address it has is checked, and the connection goes
to the checked address, so nothing can change in between (DNS rebinding). An address is
checked after taking out the IPv4 address that v4-mapped, v4-compatible, NAT64, 6to4 and Teredo
addresses carry. What is denied is an explicit list of networks; `is_private` and `is_global`
of the standard library let metadata services pass. An operator may allow networks per receiver.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import httpx

from alerts.errors import ConfigurationError, DeliveryError, ForbiddenDestination

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]

DENIED: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier NAT; Alibaba's metadata service
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; most metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata service
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # protocol assignments (Teredo inside is read first)
        "2001:db8::/32",
        "3fff::/20",
    )
)
GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""All of IPv6 that is routed on the Internet; everything else is denied."""

PRIVATE: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
    )
)
"""What "allow private" opens: loopback and private networks, never link-local or multicast."""

_EMBEDDED: Final[tuple[tuple[IPv6Network, int], ...]] = (
    (IPv6Network("::ffff:0:0/96"), 0),  # v4-mapped
    (IPv6Network("::ffff:0:0:0/96"), 0),  # v4-translated
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (IPv6Network("2002::/16"), 80),  # 6to4
)
"""Networks that carry an IPv4 address, and how many bits stand to the right of it."""
_TEREDO: Final = IPv6Network("2001::/32")


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL that may be connected to, and the checked address to connect to."""

    url: httpx.URL
    address: str


def unmapped(address: Address) -> Address:
    """Return the IPv4 address inside an IPv6 address that carries one, else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    for network, shift in _EMBEDDED:
        if address in network:
            return IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    if address in _TEREDO:
        return IPv4Address(~int(address) & 0xFFFFFFFF)
    return address


def denial(address: Address, allowed: Sequence[Network] = ()) -> str | None:
    """Return why an address may not be connected to; None = it may."""
    inner = unmapped(address)
    if any(inner in network for network in allowed):
        return None
    if isinstance(inner, IPv6Address) and inner not in GLOBAL_UNICAST:
        return f"{inner} is not a public IPv6 address"
    if any(inner in network for network in DENIED):
        return f"{inner} is private, local or reserved"
    return None


def checked_url(text: str) -> httpx.URL:
    """Return a receiver's URL. `ConfigurationError` for one that cannot be a webhook.

    http or https, a host, no user:password (it would end up in logs), no IPv6 zone.
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"receiver URL: cannot be read ({error})") from None
    if url.scheme not in ("http", "https"):
        raise ConfigurationError(f"receiver URL: scheme {url.scheme!r} is not http or https")
    if not url.host:
        raise ConfigurationError("receiver URL: has no host")
    if url.userinfo:
        raise ConfigurationError("receiver URL: user and password in it are refused; use the signature")
    if "%" in url.host:
        raise ConfigurationError(
            "receiver URL: the host holds a % (an IPv6 zone or an escape), which is refused"
        )
    return url


def system_resolve(host: str, port: int) -> Sequence[str]:
    """Return every address of a host name, as the system resolves it. Raises `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def destination(
    url: httpx.URL, *, allowed: Sequence[Network] = (), resolve: Resolve = system_resolve
) -> Destination:
    """Resolve a receiver's host once and return where to connect. One DNS look-up.

    Raises `ForbiddenDestination` when any of its addresses is denied, `DeliveryError` (worth
    another try) when the name does not resolve.
    """
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        texts = resolve(url.host, port)
    except (OSError, UnicodeError) as error:
        raise DeliveryError(f"resolve {url.host}: {error}; check the name and the DNS") from None
    if not texts:
        raise DeliveryError(f"resolve {url.host}: no address; check the name and the DNS")
    for text in texts:
        why = denial(ip_address(text.partition("%")[0]), allowed)
        if why is not None or "%" in text:
            raise ForbiddenDestination(
                f"connect to {url.host}: {why or 'a scoped address'}; "
                "an operator may set allow_private for this receiver"
            )
    return Destination(url, texts[0])
