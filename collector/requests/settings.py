"""Everything proxy and middleware can be told, read once: defaults, a TOML file, environment, flags.

An unknown key, a value of the wrong kind and an impossible combination are refused, naming key,
value and what is allowed. The environment's names are `INFEROMETER_PROXY_` (or `_MIDDLEWARE_`) and
the key in capitals, lists separated by commas; the one that ends in `CONFIG` names the file.
Standard library and `telemetry` only.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from socket import gethostname
from typing import Any, Final
from urllib.parse import urlsplit

from collector.requests.socket import MAX_PATH_BYTES
from telemetry.identity import MAX_NAME_LENGTH

PREFIX: Final = "INFEROMETER_PROXY_"
MIDDLEWARE_PREFIX: Final = "INFEROMETER_MIDDLEWARE_"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LAST_PORT: Final = 65_535


class SettingsError(ValueError):
    """A setting that cannot be: the message names key, value and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingSettings:
    """What everything that times requests is told. Seconds and bytes are named so."""

    socket: Path
    """The agent's Unix socket; requests are served as well while nobody listens there."""

    pool: str | None = None
    model: str | None = None
    """Overrides the model the request names; for servers that answer to any name."""
    region: str | None = None
    host: str = field(default_factory=gethostname)
    """What a replica on this host is called by, as the agent on this host calls it."""

    tenants: Mapping[str, str] = field(default_factory=dict)
    """Tenant by the SHA-256 of its API key, in lower-case hexadecimal."""
    tenant_header: str = "X-Tenant-Id"
    trusted: tuple[Network, ...] = ()
    """Peers whose tenant and synthetic headers are believed; nobody by default."""
    tenant_cap: int = 1000
    model_cap: int = 200

    include_usage: bool = True
    """Ask the engine for a usage chunk where the client did not, and take it out again."""
    slow_seconds: float = 2.0
    """A request whose first token or any gap took longer has its whole gaps kept."""
    sample_ratio: float = 0.01
    """Share of the other requests whose whole gaps are kept."""
    in_flight_most: int = 256
    """Most running requests told of each second, oldest first."""
    inspect_bytes: int = 4 * 1024 * 1024
    """A longer request body is passed through unread: no model, no usage chunk."""

    def __post_init__(self) -> None:
        _check_timing(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MiddlewareSettings(TimingSettings):
    """What the ASGI middleware runs on."""

    replica: str | None = None
    """Name of this engine; by default host:port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings(TimingSettings):
    """What `inferometer proxy` runs on."""

    upstream: tuple[str, ...]
    """Base URLs of the inference servers, without `/v1`."""
    listen: str = "127.0.0.1:8080"
    replica: tuple[str, ...] = ()
    """Names of the upstreams, in their order; by default host:port of each."""

    max_in_flight: int = 4096
    read_ahead_bytes: int = 256 * 1024
    """How far upstream is read ahead of a slow client."""
    header_bytes: int = 16 * 1024
    connect_seconds: float = 5.0
    upstream_idle_seconds: float = 600.0
    """Longest silence of an upstream, queueing included."""
    client_stall_seconds: float = 120.0
    """Longest a client may leave a full buffer unread."""
    drain_seconds: float = 30.0
    """How long running requests may go on after a request to stop."""

    def __post_init__(self) -> None:
        _check_timing(self)
        _check_proxy(self)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on; port 0 takes a free one."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    def replica_of(self, place: int) -> str:
        """Return the replica name of the upstream at `place`."""
        if self.replica:
            return self.replica[place]
        parts = urlsplit(self.upstream[place])
        port = parts.port or (443 if parts.scheme == "https" else 80)
        name = self.host if parts.hostname in _LOOPBACK else parts.hostname
        return f"{name}:{port}"


def load_settings(flags: Mapping[str, object], environment: Mapping[str, str]) -> ProxySettings:
    """Return the proxy's settings. `flags` holds what the command line gave, None where it did not.

    Raises `SettingsError`.
    """
    return ProxySettings(**_values(ProxySettings, PREFIX, flags, environment))


def load_middleware_settings(environment: Mapping[str, str]) -> MiddlewareSettings:
    """Return the middleware's settings, which come from the environment alone. Raises `SettingsError`."""
    return MiddlewareSettings(**_values(MiddlewareSettings, MIDDLEWARE_PREFIX, {}, environment))


def _values(
    kind: type[TimingSettings], prefix: str, flags: Mapping[str, object], environment: Mapping[str, str]
) -> dict[str, Any]:
    config = flags.get("config") or environment.get(f"{prefix}CONFIG")
    values: dict[str, object] = _file(Path(str(config))) if config else {}
    for name, text in environment.items():
        if name.startswith(prefix) and name != f"{prefix}CONFIG":
            values[name.removeprefix(prefix).lower()] = text
    values |= {key: value for key, value in flags.items() if value is not None and key != "config"}
    fields = {known.name: known for known in dataclasses.fields(kind)}
    for key in values:
        if key not in fields:
            raise SettingsError(f"{key}: no such setting; there are {', '.join(sorted(fields))}")
    for key, known in fields.items():
        needed = known.default is known.default_factory is dataclasses.MISSING
        if needed and not values.get(key):
            option = f"--{key}, " if flags else ""
            raise SettingsError(f"{key}: must be given, as {option}{prefix}{key.upper()} or in the file")
    return {key: _parsed(key, str(fields[key].type), value) for key, value in values.items()}


def _file(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"config: cannot read {path} ({error}); it must be a TOML file") from None


def _parsed(key: str, kind: str, value: object) -> object:
    try:
        return _PARSERS[kind](value)
    except (ValueError, TypeError):
        raise SettingsError(f"{key}: {value!r} is not {_ALLOWED[kind]}") from None


def _list(value: object) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise TypeError
    return tuple(str(item).strip() for item in items if str(item).strip())


def _flag(value: object) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if str(value).lower() not in words:
        raise ValueError
    return words[str(value).lower()]


def _whole(value: object) -> int:
    if isinstance(value, bool | float):
        raise TypeError
    return int(str(value))


def _map(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise TypeError
    return {str(name).lower(): str(item) for name, item in value.items()}


_PARSERS: Final[Mapping[str, Callable[[object], object]]] = {
    "str": str,
    "str | None": str,
    "Path": lambda value: Path(str(value)),
    "int": _whole,
    "float": lambda value: float(str(value)),
    "bool": _flag,
    "tuple[str, ...]": _list,
    "tuple[Network, ...]": lambda value: tuple(ipaddress.ip_network(item) for item in _list(value)),
    "Mapping[str, str]": _map,
}
_ALLOWED: Final[Mapping[str, str]] = {
    "str": "a text",
    "str | None": "a text",
    "Path": "a path",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "tuple[str, ...]": "a list of texts",
    "tuple[Network, ...]": "a list of networks such as 10.0.0.0/8 or 127.0.0.1/32",
    "Mapping[str, str]": "a table of SHA-256 digests and tenants in the file",
}


def _check_timing(settings: TimingSettings) -> None:
    if len(bytes(settings.socket)) > MAX_PATH_BYTES:
        raise SettingsError(f"socket: {settings.socket} is longer than {MAX_PATH_BYTES} bytes")
    if not 0 <= settings.sample_ratio <= 1:
        raise SettingsError(f"sample_ratio: {settings.sample_ratio} is not between 0 and 1")
    for digest in settings.tenants:
        if not _DIGEST.fullmatch(digest):
            raise SettingsError(
                "tenants: a key is not the 64 hexadecimal digits of a SHA-256; is it the API key?"
            )
    if len(set(settings.tenants.values())) > settings.tenant_cap:
        raise SettingsError(f"tenants: more than tenant_cap = {settings.tenant_cap}; raise it")
    _check_positive(settings)
    _check_names((settings.pool, settings.model, settings.region, settings.host))
    _check_names(settings.tenants.values())


def _check_proxy(settings: ProxySettings) -> None:
    for url in settings.upstream:
        _check_upstream(url)
    if settings.replica and len(settings.replica) != len(settings.upstream):
        raise SettingsError(
            f"replica: {len(settings.replica)} names, {len(settings.upstream)} upstreams; name each or none"
        )
    place = re.fullmatch(r"(?:\[[0-9a-fA-F:.]+\]|[^:\[\]]+):(\d{1,5})", settings.listen)
    if place is None or int(place[1]) > _LAST_PORT:
        raise SettingsError(f"listen: {settings.listen!r} is not host:port, such as 127.0.0.1:8080")
    _check_names(settings.replica)


def _check_upstream(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise SettingsError("upstream: one is not http://host:port or https://host:port")
    if parts.username or parts.password:
        raise SettingsError(f"upstream: {parts.hostname} carries a password; clients send their own keys")


def _check_positive(settings: TimingSettings) -> None:
    for known in dataclasses.fields(settings):
        value = getattr(settings, known.name)
        if str(known.type) in ("int", "float") and known.name != "sample_ratio" and not 0 < value < 2**40:
            raise SettingsError(f"{known.name}: {value} is not above 0")


def _check_names(names: Iterable[str | None]) -> None:
    for name in names:
        if name is not None and not (0 < len(name) <= MAX_NAME_LENGTH and name.isprintable()):
            raise SettingsError(f"{name[:40]!r} is not a name of 1 to {MAX_NAME_LENGTH} printable characters")
