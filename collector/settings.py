"""The agent's settings: read once from a TOML file and the environment, checked, then frozen.

Keys of the file are the fields of `Settings`; the environment says the same in capitals behind
`INFEROMETER_AGENT_` and wins; `token` may be given as a file (`token_file`, `..._TOKEN_FILE`).
Every mistake is told at once, with its key, its value and what is allowed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from socket import gethostname
from typing import Any, Final
from urllib.parse import urlsplit

from collector import checks
from collector.efficiency.peaks import DTYPES
from collector.efficiency.ratios import ModelShape
from collector.export.dcgm_names import HOSTNAME_LABELS
from collector.hardware.policies import DEFAULT_POLICY, POLICIES
from collector.requests.log_formats import format_of
from telemetry.identity import Origin, Replica, is_real_uuid

PREFIX: Final = "INFEROMETER_AGENT_"
MIB: Final = 1024 * 1024
DEFAULT_LOG_FORMAT: Final = "litellm"
DEFAULT_LISTEN: Final = ("127.0.0.1", 9477)
LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of an address of this host."""

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
    log: Path | None = None
    """Where it logs: its start-up tells what weights and KV pool take."""

    def replica(self, host: str, rank: int) -> Replica:
        """Return the identity of a rank; an engine on this host is named by the host."""
        parts = urlsplit(self.url)
        where = host if parts.hostname in LOCAL_HOSTS else parts.hostname or host
        return Replica(where, str(parts.port or (443 if parts.scheme == "https" else 80)), rank)

    def place(self, host: str) -> str:
        """Return host and port: what its source is called."""
        return str(self.replica(host, 0))

    def gpus_of(self, rank: int) -> tuple[str, ...]:
        """Return the UUIDs of one rank's share."""
        share = len(self.gpus) // self.ranks
        return self.gpus[rank * share : (rank + 1) * share]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTarget:
    """A request log to follow, and what its lines mean: a format's name or a column map's file."""

    path: Path
    format: str = DEFAULT_LOG_FORMAT


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
    otlp: tuple[str, int] | None = None
    """Where OTLP/HTTP trace exports are taken; None = nowhere."""
    request_logs: tuple[LogTarget, ...] = ()
    gpus: bool = True
    expected_gpus: int | tuple[str, ...] | None = None
    """How many GPUs this host has, or their UUIDs: those that are missing are told as down."""
    xid_policy: str = DEFAULT_POLICY
    """Whose rule says what an Xid means: nvidia, k8s, meta or azure."""
    kernel_log: Path | None = Path("/dev/kmsg")
    """Where Xids are read beside the driver's events; a file in a container; None ("off") = nowhere."""
    engines: tuple[EngineTarget, ...] = ()
    models: Mapping[str, ModelShape] = field(default_factory=dict)
    """Sizes of models by the name their engine tells; MFU and MBU need them where it counts no work."""
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


def _expected(value: object) -> int | tuple[str, ...]:
    if isinstance(value, str) and not value.isdigit():
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, list | tuple):
        return checks.whole(0, 1_024)(value)
    if not all(map(is_real_uuid, checks.uuids(value))):
        raise ValueError("must be a number of GPUs, or their UUIDs (`nvidia-smi -L` names them)")
    return checks.uuids(value)


def _kernel_log(value: object) -> Path | None:
    return None if value == "off" else checks.path(value)


_TARGET_CHECKS: Final[Mapping[str, Callable[[object], object]]] = {
    "url": checks.url,
    "kind": checks.text,
    "pool": checks.text,
    "model": checks.text,
    "gpus": checks.uuids,
    "ranks": checks.whole(1, 1_024),
    "log": checks.path,
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


_PARAMETERS: Final = 10**15
_SHAPE_CHECKS: Final[Mapping[str, Callable[[object], object]]] = {
    "parameters": checks.whole(1, _PARAMETERS),
    "active_parameters": checks.whole(1, _PARAMETERS),
    "weight_bytes": checks.number(0.1, 8),
    "kv_bytes_per_token": checks.whole(1, 10**9),
    "dtype": checks.one_of(DTYPES),
}


def _models(value: object) -> dict[str, ModelShape]:
    if not isinstance(value, Mapping) or len(value) > 256:
        raise ValueError("must be tables of at most 256 models: [models.NAME] parameters = ...")
    return {checks.text(name): _shape(name, table) for name, table in value.items()}


def _shape(name: str, table: object) -> ModelShape:
    if isinstance(table, ModelShape):
        return table
    if not isinstance(table, Mapping) or "parameters" not in table or set(table) - set(_SHAPE_CHECKS):
        known = ", ".join(_SHAPE_CHECKS)
        raise ValueError(f"model {name}: a table with parameters, and of {known} what is known")
    values: dict[str, Any] = {key: _SHAPE_CHECKS[key](item) for key, item in table.items()}
    return ModelShape(**{"active_parameters": values["parameters"], **values})


def _targets(value: object) -> tuple[EngineTarget, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple) or len(value) > 64:
        raise ValueError("must be a list of at most 64 engines, or URLs parted by commas")
    targets = tuple(_target(item) for item in value)
    if len({target.url for target in targets}) < len(targets):
        raise ValueError("the same engine is named twice")
    return targets


def _log_target(value: object) -> LogTarget:
    if isinstance(value, LogTarget):
        return value
    table = {"path": value} if isinstance(value, str) else value
    if not isinstance(table, Mapping) or "path" not in table or set(table) - {"path", "format"}:
        raise ValueError("a request log is a path, or a table with path and format")
    named = checks.text(table.get("format", DEFAULT_LOG_FORMAT))
    format_of(named)
    return LogTarget(path=checks.path(table["path"]), format=named)


def _log_targets(value: object) -> tuple[LogTarget, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple) or len(value) > 16:
        raise ValueError("must be a list of at most 16 request logs, or paths parted by commas")
    return tuple(_log_target(item) for item in value)


_CHECKS: Final[Mapping[str, Callable[[object], object]]] = {
    "server": checks.url,
    "token": checks.text,
    "host": checks.text,
    "region": checks.text,
    "data_dir": checks.path,
    "listen": checks.listen,
    "dcgm_names": checks.flag,
    "hostname_label": checks.one_of(HOSTNAME_LABELS),
    "socket": checks.path,
    "otlp": checks.listen,
    "request_logs": _log_targets,
    "gpus": checks.flag,
    "expected_gpus": _expected,
    "xid_policy": checks.one_of(tuple(POLICIES)),
    "kernel_log": _kernel_log,
    "engines": _targets,
    "models": _models,
    "find_engines": checks.flag,
    "interval_seconds": checks.number(0.1, 60),
    "deadline_seconds": checks.number(0.1, 60),
    "seal_seconds": checks.number(0.1, 60),
    "seal_bytes": checks.whole(64 * 1024, 8 * MIB),
    "buffer_bytes": checks.whole(MIB, 1_024 * MIB),
    "spool_bytes": checks.whole(16 * MIB, 1_048_576 * MIB),
    "backlog_per_second": checks.number(0.1, 1_000),
    "origin": lambda value: Origin(checks.one_of(tuple(Origin))(value)),
}
assert set(_CHECKS) == {one.name for one in fields(Settings)}
