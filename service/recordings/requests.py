"""Request rows to request records.

Ids come from the row itself, so that reading the same rows twice gives the same records.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Final

from service.recordings.content import Row, RowFile, Value
from service.recordings.gaps import read_gaps
from service.recordings.reading import Reading, value_at
from service.recordings.recording import Place, RecordingError
from service.recordings.request_columns import ERROR_CODE, ERROR_TEXT, GAPS, IDS, Mapped, known
from service.recordings.values import count, missing
from telemetry.requests import Finish, RequestRecord, Status

UNKNOWN_MODEL: Final = "__unknown__"
_CHUNK: Final = 2_000
_HTTP_STATUS: Final = re.compile(r"\bHTTP[ /:]*([45]\d\d)\b")
_CLASS: Final = re.compile(r"[A-Za-z_][\w.]{0,63}")
_NO_TIME: Final = (
    "request rows carry no instants: they are laid at the epoch, and nothing over time "
    "(burn rates, findings, cost) can be judged from them"
)


@dataclass(frozen=True, slots=True)
class _Columns:
    """What a file's header offers."""

    mapped: tuple[Mapped, ...]
    gaps: str | None
    named_by: tuple[str, ...]
    error_code: bool

    @classmethod
    def of(cls, names: Sequence[str]) -> _Columns:
        return cls(
            mapped=known(names),
            gaps=next((name for name in names if name in GAPS), None),
            named_by=next((each for each in IDS if set(each) <= set(names)), ()),
            error_code=ERROR_CODE in names,
        )

    def timed(self) -> bool:
        return any(mapped.ours in ("started_at_us", "ended_at_us") for mapped in self.mapped)


def read_requests(file: RowFile, reading: Reading, *, model: str | None) -> tuple[list[RequestRecord], bool]:
    """Return the records of a file and whether they have instants.

    `model` is the fleet's only model, for rows that name none. Raises `RecordingError`.
    """
    columns = _Columns.of(file.names)
    if not columns.timed():
        reading.note(_NO_TIME)
    used = {mapped.recorded for mapped in columns.mapped} | {columns.gaps, ERROR_CODE, *columns.named_by}
    unused = [name for name in file.names if name not in used and name not in ERROR_TEXT]
    if unused:
        reading.note(f"{file.path.name}: no column of ours for {', '.join(unused[:8])}")
    records: list[RequestRecord] = []
    rows = reading.rows(file)
    while chunk := list(islice(rows, _CHUNK)):
        records += _chunk(file.path, chunk, columns, reading, model or UNKNOWN_MODEL)
    return records, columns.timed()


def _chunk(
    path: Path, rows: Sequence[Row], columns: _Columns, reading: Reading, model: str
) -> Iterator[RequestRecord]:
    kept: list[tuple[Row, dict[str, Any]]] = []
    for row in rows:
        try:
            kept.append((row, _fields(path, row, columns, reading)))
        except RecordingError as error:
            reading.skip(error)
    gaps = read_gaps(path, [row for row, _ in kept], columns.gaps, reading)
    for (row, fields), told in zip(kept, gaps, strict=True):
        if told is not None:
            request_id = reading.unique(_identity(row, columns, fields))
            yield RequestRecord(**({"model": model} | fields | told | {"request_id": request_id}))


def _fields(path: Path, row: Row, columns: _Columns, reading: Reading) -> dict[str, Any]:
    """Return the fields of one record; what was not recorded is left to its default."""
    fields = {
        mapped.ours: value
        for mapped in columns.mapped
        if (value := value_at(path, row, mapped.recorded, mapped.convert)) is not None
    }
    _judge(path, row, columns, fields)
    failed = fields["status"] is Status.ERROR
    if failed and not fields.get("e2e_us"):
        fields["e2e_us"] = 0
        reading.note("failed requests without a recorded duration are taken as 0 seconds long")
    if failed and not fields.get("ttft_us"):
        fields.pop("ttft_us", None)
    if "e2e_us" not in fields:
        raise RecordingError(
            Place(str(path), row.line), "no end-to-end duration", "correct it, or tolerate unreadable rows"
        )
    _date(fields)
    return fields


def _judge(path: Path, row: Row, columns: _Columns, fields: dict[str, Any]) -> None:
    """Fill in how the request ended: the status column, else the error columns, else well."""
    code = _code(path, row) if columns.error_code else None
    texts = [str(row.values[name]) for name in ERROR_TEXT if not missing(row.values.get(name))]
    failed = code is not None or bool(texts)
    fields["status"] = Status(fields.get("status", Status.ERROR if failed else Status.OK))
    if fields["status"] is not Status.ERROR:
        return
    told = _HTTP_STATUS.search(texts[0]) if texts else None
    http = code if code is not None and 400 <= code < 600 else int(told[1]) if told else None
    fields.setdefault("http_status", http)
    if fields["http_status"] is not None:
        fields.setdefault("error_class", f"http_{fields['http_status']}")
    elif texts and (word := _CLASS.match(texts[0])):
        fields.setdefault("error_class", word[0])
    fields.setdefault("finish", Finish.ERROR)


def _code(path: Path, row: Row) -> int | None:
    """Return the recorded error code; -1 and its like mean "failed without a code"."""
    recorded = row.values.get(ERROR_CODE)
    if isinstance(recorded, str) and recorded.strip().startswith("-"):
        return 0
    found: int | None = value_at(path, row, ERROR_CODE, count)
    return found


def _date(fields: dict[str, Any]) -> None:
    """Fill in start and end from whichever was recorded; at the epoch when neither was."""
    end, length = fields.get("ended_at_us"), fields["e2e_us"]
    start = fields.setdefault("started_at_us", 0 if end is None else max(end - length, 0))
    fields.setdefault("ended_at_us", start + length)


def _identity(row: Row, columns: _Columns, fields: Mapping[str, Any]) -> str:
    named = [str(row.values[name]) for name in columns.named_by if not missing(row.values.get(name))]
    if columns.named_by and len(named) == len(columns.named_by):
        return "/".join(named)
    told = repr(sorted((name, _plain(value)) for name, value in fields.items()))
    return blake2b(told.encode(), digest_size=10).hexdigest()


def _plain(value: Value) -> str:
    return str(value)
