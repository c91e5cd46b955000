"""The agent's settings: read once from a TOML file and the environment, checked, then frozen.

Keys of the file are the fields of `Settings`; the environment says the same in capitals behind
`INFEROMETER_AGENT_` and wins; `token` may be given as a file (`token_file`, `..._TOKEN_FILE`).
Every mistake is told at once, with its key, its value and what is allowed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from socket import gethostname
from typing import Any, Final
from urllib.parse import urlsplit

from collector.dcgm_names import HOSTNAME_LABELS
from collector.hardware.policies import DEFAULT_POLICY, POLICIES
from telemetry.identity import MAX_NAME_LENGTH, Origin, Replica

PREFIX: Final = "INFEROMETER_AGENT_"
MIB: Final = 1024 * 1024
DEFAULT_LISTEN: Final = ("127.0.0.1", 9477)
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SECRET: Final = frozenset({"token"})


class SettingsError(Exception):
    """Settings the agent does not start with: one line for each mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTarget:
    """An inference engine to read: its metrics page, its pool, the GPUs it holds.

    `gpus` are UUIDs in the order of its ranks, divided evenly among `ranks` replicas.
    """

    url: str
    kind: str = "unknown"
    pool: str | None = None
    model: str | None = None
    gpus: tuple[str, ...] = ()
    ranks: int = 1

    def replica(self, host: str, rank: int) -> Replica:
        """Return the identity of a rank; an engine on this host is named by the host."""
        parts = urlsplit(self.url)
        where = host if parts.hostname in _LOCAL else parts.hostname or host
        return Replica(where, str(parts.port or (443 if parts.scheme == "https" else 80)), rank)

    def place(self, host: str) -> str:
        """Return host and port: what its source is called."""
        return str(self.replica(host, 0))

    def gpus_of(self, rank: int) -> tuple[str, ...]:
        """Return the UUIDs of one rank's share."""
        share = len(self.gpus) // self.ranks
        return self.gpus[rank * share : (rank + 1) * share]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator can choose. Times in seconds, sizes in bytes.

    `server` None = measure and export only; then nothing is spooled.
    """

    server: str | None = None
    token: str | None = field(default=None, repr=False)
    host: str = field(default_factory=gethostname)
    region: str | None = None
    data_dir: Path = Path("inferometer-agent")
    listen: tuple[str, int] = DEFAULT_LISTEN
    """Where /metrics is served; port 0 = any free one."""
    dcgm_names: bool = False
    """Serve the readings by dcgm-exporter's names as well."""
    hostname_label: str = HOSTNAME_LABELS[0]
    """What dcgm-exporter's label of the host is called."""
    socket: Path | None = None
    """Where proxies hand in request records; None = `records.sock` in `data_dir`."""
    gpus: bool = True
    expected_gpus: int | tuple[str, ...] | None = None
    """How many GPUs this host has, or their UUIDs: those that are missing are told as down."""
    xid_policy: str = DEFAULT_POLICY
    """Whose rule says what an Xid means: nvidia, k8s, meta or azure."""
    kernel_log: Path | None = Path("/dev/kmsg")
    """Where Xids are read beside the driver's events; a file in a container; None ("off") = nowhere."""
    engines: tuple[EngineTarget, ...] = ()
    find_engines: bool = True
    """Look for engines on their usual local ports when none are named."""
    interval_seconds: float = 1.0
    deadline_seconds: float = 2.0
    """A reading that takes longer is abandoned: its late result is not used."""
    seal_seconds: float = 2.0
    seal_bytes: int = 4 * MIB
    """A batch is sealed when its rows weigh this much, or after `seal_seconds`."""
    buffer_bytes: int = 64 * MIB
    """Rows not yet sealed; beyond it the oldest are dropped and counted."""
    spool_bytes: int = 2_048 * MIB
    backlog_per_second: float = 20.0
    """Batches of an outage sent a second, at most, beside the fresh ones."""
    origin: Origin = Origin.LIVE

    @property
    def records_socket(self) -> Path:
        """Return where request records are received."""
        return self.socket or self.data_dir / "records.sock"


def load(
    path: Path | None, environment: Mapping[str, str], overrides: Mapping[str, object] | None = None
) -> Settings:
    """Return the settings of a file (None = no file), the environment and the command line.

    The command line (`overrides`; None values are left out) wins over the environment, that
    over the file. Raises `SettingsError` naming every mistake.
    """
    given: dict[str, object] = {**_file(path), **_environment(environment)}
    given |= {key: value for key, value in (overrides or {}).items() if value is not None}
    mistakes: list[str] = []
    _read_token_file(given, mistakes)
    values = {key: _checked(key, value, mistakes) for key, value in given.items()}
    if mistakes:
        raise _refusal(mistakes)
    settings = Settings(**values)
    mistakes = _combinations(settings)
    if mistakes:
        raise _refusal(mistakes)
    return settings


def _refusal(mistakes: list[str]) -> SettingsError:
    return SettingsError("the agent does not start:\n" + "\n".join(f"  {line}" for line in mistakes))


def _file(path: Path | None) -> Mapping[str, object]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"read {path}: {error.strerror}; name an existing file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"read {path}: not TOML ({error})") from None


def _environment(environment: Mapping[str, str]) -> dict[str, object]:
    return {
        name.removeprefix(PREFIX).lower(): text
        for name, text in environment.items()
        if name.startswith(PREFIX)
    }


def _read_token_file(given: dict[str, object], mistakes: list[str]) -> None:
    named = given.pop("token_file", None)
    if named is None:
        return
    if "token" in given:
        mistakes.append("token and token_file: both given; give one")
        return
    try:
        given["token"] = Path(str(named)).read_text().strip()
    except OSError as error:
        mistakes.append(f"token_file = {named!r}: {error.strerror}; name a readable file")


def _checked(key: str, value: object, mistakes: list[str]) -> Any:
    check = _CHECKS.get(key)
    if check is None:
        known = ", ".join(sorted((*_CHECKS, "token_file")))
        mistakes.append(f"{key}: not a setting; known are {known}")
        return None
    try:
        return check(value)
    except ValueError as error:
        shown = "***" if key in _SECRET else repr(value)
        mistakes.append(f"{key} = {shown}: {error}")
        return None


def _combinations(settings: Settings) -> list[str]:
    mistakes: list[str] = []
    if settings.server and not settings.token:
        mistakes.append("token: missing; `inferometer token create` on the service makes one")
    if settings.seal_seconds < settings.interval_seconds:
        mistakes.append(
            f"seal_seconds = {settings.seal_seconds:g}: must not be below interval_seconds"
            f" = {settings.interval_seconds:g}"
        )
    return mistakes


def _text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_LENGTH or not value.isprintable():
        raise ValueError(f"must be a printable text of 1 to {MAX_NAME_LENGTH} characters")
    return value


def _url(value: object) -> str:
    parts = urlsplit(_text(value))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// address")
    return _text(value).rstrip("/")


def _path(value: object) -> Path:
    return Path(value) if isinstance(value, Path) else Path(_text(value)).expanduser()


def _flag(value: object) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError("must be true or false")


def _listen(value: object) -> tuple[str, int]:
    address, _, port = _text(value).rpartition(":")
    if not address or not port.isdigit() or int(port) > 65_535:
        raise ValueError("must be ADDRESS:PORT, such as 127.0.0.1:9477")
    return address.strip("[]"), int(port)


def _one_of(words: Sequence[str]) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return check


def _number(low: float, high: float) -> Callable[[object], float]:
    def check(value: object) -> float:
        try:
            number = float(value) if isinstance(value, str | int | float) else float("nan")
        except ValueError:
            number = float("nan")
        if isinstance(value, bool) or not low <= number <= high:
            raise ValueError(f"must be a number of {low:g} to {high:g}")
        return number

    return check


def _whole(low: int, high: int) -> Callable[[object], int]:
    bounded = _number(low, high)

    def check(value: object) -> int:
        number = bounded(value)
        if not number.is_integer():
            raise ValueError(f"must be a whole number of {low:,} to {high:,}")
        return int(number)

    return check


def _expected(value: object) -> int | tuple[str, ...]:
    if isinstance(value, str) and not value.isdigit():
        value = [part.strip() for part in value.split(",")]
    return _uuids(value) if isinstance(value, list | tuple) else _whole(0, 1_024)(value)


def _kernel_log(value: object) -> Path | None:
    return None if value == "off" else _path(value)


def _uuids(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(uuid, str) for uuid in value):
        raise ValueError("must be a list of GPU UUIDs (`nvidia-smi -L` names them)")
    return tuple(_text(uuid) for uuid in value)


_TARGET_CHECKS: Final[Mapping[str, Callable[[object], object]]] = {
    "url": _url,
    "kind": _text,
    "pool": _text,
    "model": _text,
    "gpus": _uuids,
    "ranks": _whole(1, 1_024),
}


def _target(value: object) -> EngineTarget:
    if isinstance(value, EngineTarget):
        return value
    table = {"url": value} if isinstance(value, str) else value
    if not isinstance(table, Mapping) or "url" not in table:
        raise ValueError("an engine is a URL or a table with url")
    unknown = set(table) - set(_TARGET_CHECKS)
    if unknown:
        raise ValueError(
            f"engine: {', '.join(sorted(unknown))} unknown; known are {', '.join(_TARGET_CHECKS)}"
        )
    values: dict[str, Any] = {key: _TARGET_CHECKS[key](item) for key, item in table.items()}
    if not urlsplit(values["url"]).path:
        values["url"] += "/metrics"
    target = EngineTarget(**values)
    if len(target.gpus) % target.ranks:
        raise ValueError(
            f"engine {target.url}: {len(target.gpus)} gpus cannot be shared by {target.ranks} ranks"
        )
    return target


def _targets(value: object) -> tuple[EngineTarget, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple) or len(value) > 64:
        raise ValueError("must be a list of at most 64 engines, or URLs parted by commas")
    targets = tuple(_target(item) for item in value)
    if len({target.url for target in targets}) < len(targets):
        raise ValueError("the same engine is named twice")
    return targets


_CHECKS: Final[Mapping[str, Callable[[object], object]]] = {
    "server": _url,
    "token": _text,
    "host": _text,
    "region": _text,
    "data_dir": _path,
    "listen": _listen,
    "dcgm_names": _flag,
    "hostname_label": _one_of(HOSTNAME_LABELS),
    "socket": _path,
    "gpus": _flag,
    "expected_gpus": _expected,
    "xid_policy": _one_of(tuple(POLICIES)),
    "kernel_log": _kernel_log,
    "engines": _targets,
    "find_engines": _flag,
    "interval_seconds": _number(0.1, 60),
    "deadline_seconds": _number(0.1, 60),
    "seal_seconds": _number(0.1, 60),
    "seal_bytes": _whole(64 * 1024, 8 * MIB),
    "buffer_bytes": _whole(MIB, 1_024 * MIB),
    "spool_bytes": _whole(16 * MIB, 1_048_576 * MIB),
    "backlog_per_second": _number(0.1, 1_000),
    "origin": lambda value: Origin(_one_of(tuple(Origin))(value)),
}
assert set(_CHECKS) == {one.name for one in fields(Settings)}
