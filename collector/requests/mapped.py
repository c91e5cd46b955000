"""Records of requests that somebody else timed: a table says which of its names fills which field.

One table for each kind of span or log line; what the table does not name, or the input does not
hold, stays None. No text of a prompt or an answer is read. Standard library and `telemetry` only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from collector.requests.callers import LabelCap
from collector.requests.exchange import UNKNOWN_MODEL
from collector.requests.units import Unit, converted
from telemetry.identity import UNKNOWN_TENANT, Vantage
from telemetry.requests import Finish, RequestRecord, Status
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MINUTE

OLDEST_US: Final = 24 * MICROS_PER_HOUR
AHEAD_US: Final = 5 * MICROS_PER_MINUTE
"""The service refuses a whole batch for one event outside these."""
MAX_TENANTS: Final = 1_000
MAX_MODELS: Final = 200
_CLIENT_CLOSED: Final = 499


class RecordError(ValueError):
    """An input that gives no record: which of its names, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class FieldSource:
    """What fills a field of a record: the first of these names that is there, in its unit.

    A dot in a name is part of it or leads into an object or list. An instant that fills a
    duration is counted from the request's start.
    """

    field: str
    names: tuple[str, ...]
    unit: Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordMap:
    """How one kind of input becomes a record."""

    vantage: Vantage
    sources: tuple[FieldSource, ...]
    constants: Mapping[str, str] = field(default_factory=dict)
    """Texts that every record bears."""
    whole_unless_told: bool = False
    """Whether an input that does not say so was an answer that came whole, not streamed."""


class RecordMaker:
    """Makes records by one map; bounds the names of tenants and models. Not thread-safe."""

    def __init__(self, chosen: RecordMap, *, host: str) -> None:
        self._map = chosen
        self._host = host
        self._tenants = LabelCap(MAX_TENANTS)
        self._models = LabelCap(MAX_MODELS)

    @property
    def folded(self) -> int:
        """How often a name past the bounds became `__other__`."""
        return self._tenants.folded + self._models.folded

    def record(self, values: Mapping[str, Any], *, request_id: str, now_us: int) -> RequestRecord:
        """Return the record of an input; `request_id` is for one that names none.

        `now_us` is the UTC instant, in microseconds. Raises `RecordError`.
        """
        found: dict[str, Any] = {"request_id": request_id, "model": UNKNOWN_MODEL, **self._map.constants}
        instants: dict[str, int] = {}
        for source in self._map.sources:
            value = self._value(source, values)
            if value is None:
                continue
            if source.unit.is_instant and not source.field.endswith("_at_us"):
                instants[source.field] = value
            else:
                found[source.field] = value
        _complete_times(found, now_us)
        found |= _since_start(instants, found["started_at_us"], found["ended_at_us"])
        if self._map.whole_unless_told:
            found.setdefault("stream", False)
        _complete_ending(found)
        found["tenant"] = self._tenants.admit(found.get("tenant", UNKNOWN_TENANT))
        found["model"] = self._models.admit(found["model"])
        make: Callable[..., RequestRecord] = RequestRecord
        return make(vantage=self._map.vantage, **found)

    def _value(self, source: FieldSource, values: Mapping[str, Any]) -> Any:
        for name in source.names:
            raw = look_up(values, name)
            try:
                value = converted(raw, source.unit, host=self._host)
            except ValueError as error:
                raise RecordError(f"{name}: {error}") from None
            if value is not None:
                return value
        return None


def look_up(values: Mapping[str, Any], name: str) -> Any:
    """Return what a name leads to: the key itself, else a path into objects and lists; None = nothing."""
    if name in values:
        return values[name]
    found: Any = values
    for part in name.split("."):
        if isinstance(found, Mapping):
            found = found.get(part)
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found


def _complete_times(found: dict[str, Any], now_us: int) -> None:
    """Two of start, end and duration make the third; the duration is the clock to trust."""
    started, ended, e2e = (found.get(name) for name in ("started_at_us", "ended_at_us", "e2e_us"))
    if started is not None and e2e is not None:
        ended = started + e2e
    elif ended is not None and e2e is not None:
        started = ended - e2e
    elif started is not None and ended is not None:
        e2e = ended - started
    else:
        raise RecordError("two of start, end and duration must be given")
    if e2e < 0 or started < 0:
        raise RecordError("it ends before it starts")
    if not now_us - OLDEST_US <= ended <= now_us + AHEAD_US:
        raise RecordError(f"it ended {(now_us - ended) / 1e6:,.0f} s ago; is the clock right that wrote it?")
    found |= {"started_at_us": started, "ended_at_us": ended, "e2e_us": e2e}


def _since_start(instants: Mapping[str, int], started_at_us: int, ended_at_us: int) -> dict[str, int]:
    """Count instants from the start. One at the end says that it never came: so LiteLLM writes it."""
    return {
        name: at_us - started_at_us
        for name, at_us in instants.items()
        if started_at_us <= at_us < ended_at_us
    }


def _complete_ending(found: dict[str, Any]) -> None:
    """Say how it ended where the input does not, by the rules of the proxy."""
    http_status = found.get("http_status")
    if http_status is not None and http_status >= 400 and http_status != _CLIENT_CLOSED:
        found.setdefault("error_class", f"http_{http_status}")
    if "status" not in found:
        found["status"] = _status(found)
    if found.get("stream") is False:
        found.pop("ttft_us", None)  # an answer that comes whole has no first token


def _status(found: Mapping[str, Any]) -> Status:
    if found.get("http_status") == _CLIENT_CLOSED or found.get("finish") is Finish.ABORT:
        return Status.ABORTED
    return Status.ERROR if "error_class" in found or found.get("finish") is Finish.ERROR else Status.OK
