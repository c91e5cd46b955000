"""The service's settings: read once, from a TOML file and the environment, then never changed.

`INFEROMETER_<NAME>` overrides the file; `INFEROMETER_<NAME>_FILE` names a file that holds the
value (for secrets). An unknown key or an impossible value refuses to start, naming key, value
and what is allowed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from telemetry.identity import Vantage
from telemetry.units import nano

PREFIX: Final = "INFEROMETER_"
_NOT_OURS: Final = ("AGENT_", "PROXY_", "TEST_")
"""Names after the prefix that belong to the agent, the proxy and the tests."""
_COMMAND: Final = frozenset({"URL", "TOKEN"})
"""Names that the command line reads to reach a running service."""

_SECRETS: Final = frozenset({"secret", "facts_url", "state_url"})
"""Settings that hold a secret, or a password within."""


class SettingsError(Exception):
    """Settings that cannot be used; the message lists every fault with its key and value."""


class ReceiverSettings(BaseModel):
    """A webhook to tell about alerts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=64)
    url: str
    secret: str | None = None
    """Standard Webhooks secret (`whsec_...`); None = made on first start and shown once."""
    allow_private: bool = False
    """Allow a receiver on a private or loopback address: an operator's explicit choice."""


class Settings(BaseModel):
    """Everything the service can be told. Durations are seconds, sizes bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_dir: Path = Path("inferometer-data")
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8460
    facts_url: str | None = None
    """ClickHouse dialect; None = chDB in the data directory."""
    state_url: str | None = None
    """Relational; None = SQLite in the data directory."""

    objectives: tuple[Path, ...] = ()
    """OpenSLO files or folders; none = starter objectives, marked as guesses."""
    prices: Mapping[str, str] = Field(default_factory=dict)
    """Price of a GPU-hour by GPU model, such as {"H100" = "2.95"}."""
    kwh_price: Annotated[Decimal, Field(ge=0, le=1_000)] | None = None
    """Price of a kWh at the GPU, cooling and losses included; None = energy has no price."""
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    receivers: tuple[ReceiverSettings, ...] = ()
    external_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] | None = None
    """How people reach the pages, for links in alerts; None = the address served."""

    pages_open: bool | None = None
    """Whether pages can be read without a token; None = only on a loopback address."""
    vantages: Mapping[str, Vantage] = Field(default_factory=dict)
    """Pool to its vantage of record; `edge` for a pool that is not named."""

    evaluation_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0
    keep_firing_seconds: Annotated[float, Field(ge=0, le=3600)] = 60.0
    """How long a condition must be gone before its alert resolves: flapping is one message."""
    ledger_interval_seconds: Annotated[int, Field(ge=10, le=3600)] = 60
    ledger_lag_seconds: Annotated[int, Field(ge=5, le=3600)] = 75
    """How long after its end an interval is closed: most requests have ended by then."""
    block_rows: Annotated[int, Field(ge=1000, le=1_000_000)] = 300_000
    block_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    group_cap: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    """Groups of one objective that are told apart; each costs 190 kB over 30 days of minutes."""
    journal_bytes: Annotated[int, Field(ge=1_048_576)] = 8 * 1024**3
    ballast_bytes: Annotated[int, Field(ge=0)] = 64 * 1024**2
    sample_lag_seconds: Annotated[float, Field(ge=1, le=600)] = 60.0
    """An agent that is silent, or a GPU that its agent no longer tells of, is a ticket after this long."""

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        if self.sample_lag_seconds < 2 * self.evaluation_seconds:
            raise ValueError("sample_lag_seconds must be at least twice evaluation_seconds")
        names = [receiver.name for receiver in self.receivers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two receivers are called {twice[0]}; a name says whom an alert went to")
        return self

    @property
    def open_to_readers(self) -> bool:
        """Whether pages and views answer without a token."""
        if self.pages_open is not None:
            return self.pages_open
        return self.host in {"127.0.0.1", "::1", "localhost"}

    @property
    def nano_per_kwh(self) -> int | None:
        """The price of a kWh in nano-currency; None = not given."""
        return None if self.kwh_price is None else nano(self.kwh_price)

    @property
    def checkpoints_path(self) -> Path:
        """Where counts are kept for the next start."""
        return self.data_dir / "counts"

    @property
    def facts_path(self) -> Path:
        """Where chDB keeps its files."""
        return self.data_dir / "facts"

    @property
    def facts_address(self) -> str:
        """The facts store's SQLAlchemy URL."""
        return self.facts_url or f"clickhousedb:///?interface=chdb&path={quote(str(self.facts_path))}"

    @property
    def state_address(self) -> str:
        """The state store's SQLAlchemy URL."""
        return self.state_url or f"sqlite:///{self.data_dir / 'state.db'}"


def load(file: Path | None, environment: Mapping[str, str], overrides: Mapping[str, Any]) -> Settings:
    """Read the settings: overrides (the command line) over environment over file over defaults.

    Raises `SettingsError` naming every unknown key and wrong value at once.
    """
    merged = {**_from_file(file), **_from_environment(environment)}
    merged.update({key: value for key, value in overrides.items() if value is not None})
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        faults = [_fault(fault) for fault in error.errors()]
        raise SettingsError("settings refused:\n  " + "\n  ".join(faults)) from None


def _fault(fault: Any) -> str:
    """Return what is wrong with one value. A secret is never repeated, nor are all values at once."""
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = ReceiverSettings.model_fields if fault["loc"][0] == "receivers" else Settings.model_fields
        return f"{key}: unknown key; known keys are {', '.join(known)}"
    said = str(fault["msg"]).removeprefix("Value error, ")
    if not key:
        return said
    return f"{key}: {said}" if fault["loc"][-1] in _SECRETS else f"{key} = {fault.get('input')!r}: {said}"


def _from_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise SettingsError(f"settings file {file}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file {file}: not TOML: {error}") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in environment.items():
        rest = name.removeprefix(PREFIX)
        if not name.startswith(PREFIX) or rest.startswith(_NOT_OURS) or rest in _COMMAND:
            continue
        key = rest.lower()
        secret = key.removesuffix("_file")
        if secret != key and secret in Settings.model_fields:
            found[secret] = _structured(_secret(name, value))
        else:
            found[key] = _structured(value)
    return found


def _secret(name: str, path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise SettingsError(f"{name} = {path!r}: cannot be read ({error.strerror})") from None


def _structured(text: str) -> Any:
    """Read lists and tables as TOML writes them; anything else is the text itself."""
    if not text.startswith(("[", "{")):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{text!r}: not a TOML list or table: {error}") from None


def from_process(file: Path | None = None, **overrides: Any) -> Settings:
    """Read the settings of this process; called once, by the command."""
    return load(file, os.environ, overrides)
