"""What the lines of a request log mean: LiteLLM's own, or any JSON by a map that a site writes.

[fields]                      # a field of a record = a name in the line, or with its unit
request_id = "request_id"
started_at_us = { from = "time", unit = "iso8601" }
e2e_us = { from = "duration_ms", unit = "ms" }
prompt_tokens = ["usage.prompt_tokens", "input_tokens"]
[constants]                   # a text that every record bears
pool = "chat"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from collector.requests.mapped import FieldSource, RecordMap
from collector.requests.units import Unit
from telemetry.columns import TABLE, ColumnSpec, Kind
from telemetry.identity import MAX_NAME_LENGTH, Vantage

_USAGE: Final = "metadata.usage_object"
"""Where tokens are counted; the counts beside it are zero, too, where nobody counted."""

LITELLM: Final = RecordMap(
    vantage=Vantage.LOG,
    whole_unless_told=True,
    sources=(
        FieldSource("request_id", ("id",), Unit.TEXT),
        FieldSource("tenant", ("metadata.user_api_key_alias", "metadata.user_api_key_hash"), Unit.TEXT),
        FieldSource("team", ("metadata.user_api_key_team_alias", "metadata.user_api_key_team_id"), Unit.TEXT),
        FieldSource("model", ("model_group", "model"), Unit.TEXT),
        FieldSource("replica", ("api_base",), Unit.ADDRESS),
        FieldSource("status", ("status",), Unit.STATUS),
        FieldSource("finish", ("response.choices.0.finish_reason",), Unit.FINISH),
        FieldSource("http_status", ("error_information.error_code",), Unit.HTTP_STATUS),
        FieldSource("error_class", ("error_information.error_class",), Unit.TEXT),
        FieldSource("started_at_us", ("startTime",), Unit.UNIX_SECONDS),
        FieldSource("ended_at_us", ("endTime",), Unit.UNIX_SECONDS),
        FieldSource("ttft_us", ("completionStartTime",), Unit.UNIX_SECONDS),
        FieldSource("prompt_tokens", (f"{_USAGE}.prompt_tokens",), Unit.COUNT),
        FieldSource("cached_tokens", (f"{_USAGE}.prompt_tokens_details.cached_tokens",), Unit.COUNT),
        FieldSource("output_tokens", (f"{_USAGE}.completion_tokens",), Unit.COUNT),
        FieldSource(
            "reasoning_tokens", (f"{_USAGE}.completion_tokens_details.reasoning_tokens",), Unit.COUNT
        ),
        FieldSource(
            "max_output_tokens",
            ("model_parameters.max_completion_tokens", "model_parameters.max_tokens"),
            Unit.COUNT,
        ),
        FieldSource("choices", ("model_parameters.n",), Unit.COUNT),
        FieldSource("stream", ("stream",), Unit.FLAG),
    ),
)
"""LiteLLM's StandardLoggingPayload, one JSON object a line."""

FORMATS: Final[Mapping[str, RecordMap]] = {"litellm": LITELLM}

MAPPABLE: Final[Mapping[str, ColumnSpec]] = {
    column.name: column
    for column in TABLE["requests"].columns
    if column.kind is not Kind.UINTS and column.name not in ("vantage", "tokens_estimated")
}
"""The fields of a record that a line may fill."""


class FormatError(ValueError):
    """A column map that cannot be: file, key, and what is allowed there."""


def format_of(name: str) -> RecordMap:
    """Return a format by its name, or the one that a TOML file describes. Raises `FormatError`."""
    known = FORMATS.get(name)
    if known is not None:
        return known
    path = Path(name)
    if path.suffix != ".toml":
        raise FormatError(f"{name}: neither {', '.join(FORMATS)} nor a .toml file with a column map")
    try:
        described = tomllib.loads(path.read_text())
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror}; name an existing column map") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: not TOML ({error})") from None
    try:
        return _described(described)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None


def _described(described: Mapping[str, object]) -> RecordMap:
    for key, value in described.items():
        if key not in ("fields", "constants") or not isinstance(value, Mapping):
            raise FormatError(f"{key}: there are the tables fields and constants")
    fields, constants = (_table(described, key) for key in ("fields", "constants"))
    sources = tuple(_source(name, said) for name, said in fields.items())
    if len({"started_at_us", "ended_at_us", "e2e_us"} & fields.keys()) < 2:
        raise FormatError("fields: two of started_at_us, ended_at_us and e2e_us are needed")
    for name, text in constants.items():
        _column(f"constants.{name}", name)
        if not isinstance(text, str) or not 0 < len(text) <= MAX_NAME_LENGTH:
            raise FormatError(f"constants.{name} = {text!r}: must be a text")
    return RecordMap(
        vantage=Vantage.LOG, sources=sources, constants={name: str(text) for name, text in constants.items()}
    )


def _table(described: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = described.get(key, {})
    assert isinstance(found, Mapping)
    return found


def _column(key: str, name: str) -> ColumnSpec:
    column = MAPPABLE.get(name)
    if column is None:
        raise FormatError(f"{key}: no such field; there are {', '.join(MAPPABLE)}")
    if key.startswith("constants.") and (column.kind is not Kind.TEXT or column.words):
        raise FormatError(f"{key}: only a text can be the same for every request")
    return column


def _source(name: str, said: object) -> FieldSource:
    key = f"fields.{name}"
    column = _column(key, name)
    given = said if isinstance(said, Mapping) else {"from": said}
    if unknown := set(given) - {"from", "unit"}:
        raise FormatError(f"{key}: {', '.join(sorted(unknown))} unknown; there are from and unit")
    names = given.get("from")
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not names or not all(isinstance(one, str) and one for one in names):
        raise FormatError(f"{key}: from must be a name in the line, or a list of them")
    allowed = _units(column)
    unit = given.get("unit", allowed[0] if len(allowed) == 1 or not _is_time(column) else None)
    if unit not in allowed:
        raise FormatError(f"{key}: unit must be one of {', '.join(allowed)}")
    return FieldSource(name, tuple(names), Unit(str(unit)))


def _is_time(column: ColumnSpec) -> bool:
    return column.name.endswith("_us")


def _units(column: ColumnSpec) -> tuple[Unit, ...]:
    """Return the units a field may be read in; the first is meant where none is said, but for times."""
    instants = tuple(unit for unit in Unit if unit.is_instant)
    if column.name.endswith("_at_us"):
        return instants
    if _is_time(column):
        return (Unit.SECONDS, Unit.MILLIS, Unit.MICROS, Unit.NANOS, *instants)
    named = {"status": Unit.STATUS, "finish": Unit.FINISH, "http_status": Unit.HTTP_STATUS}.get(column.name)
    if named:
        return (named,)
    return {
        Kind.INT: (Unit.COUNT,),
        Kind.FLAG: (Unit.FLAG,),
        Kind.TEXT: (Unit.TEXT, Unit.ADDRESS),
    }[column.kind]
