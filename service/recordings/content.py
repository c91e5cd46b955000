"""A recorded file's content, read within bounds, and what kind of content it is.

Guarantee: at most `MAX_LINE` characters of a row file and `MAX_JSON` of a JSON file are held
at once, whatever a gzip file expands to; numbers keep the text they were recorded with.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final

from service.recordings.recording import Place, RecordingError

MAX_LINE: Final = 4 * 1024 * 1024
MAX_JSON: Final = 128 * 1024 * 1024
MAX_ROWS: Final = 5_000_000
_GZIP_MARK: Final = b"\x1f\x8b"
_JSON_MARKS: Final = ("{", "[")

Value = Any
"""What a JSON file may hold; every number is its text. The readers take it apart at once."""


class _NotTextError(RecordingError):
    """Bytes that are not UTF-8."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row with the line it stands on; values by name, texts as recorded, None = absent."""

    line: int
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file of rows: CSV with a header, or JSON objects line by line (or in one array)."""

    path: Path
    names: tuple[str, ...]
    """Names of the first row, as recorded."""

    def rows(self) -> Iterator[Row | RecordingError]:
        """Yield the rows, and for a row that is none its error. Raises one for the file itself."""
        with _opened(self.path) as file:
            for number, row in enumerate(_rows(self.path, file)):
                if number >= MAX_ROWS:
                    raise RecordingError(
                        Place(str(self.path)), f"more than {MAX_ROWS:,} rows", "import it in parts"
                    )
                yield row


@dataclass(frozen=True, slots=True)
class JsonFile:
    """A file of one JSON value that is not rows."""

    path: Path
    value: Value


def content(path: Path) -> RowFile | JsonFile | None:
    """Return what kind of content a file has; None for an empty file or one that is no text.

    Raises `RecordingError` for a damaged gzip file and for JSON that does not parse.
    """
    try:
        with _opened(path) as file:
            first = file.readline(MAX_LINE + 1)
            if not first.strip():
                return None
            if first.lstrip()[0] not in _JSON_MARKS:
                names = next(csv.reader([_bounded(path, first, 1)]), [])
                return RowFile(path, tuple(name.strip() for name in names))
            value = _one_object(first)  # None also for a longer line: then it is one JSON value
            if value is not None:
                rest = file.readline(MAX_LINE)
                return RowFile(path, tuple(value)) if rest.strip() else JsonFile(path, value)
    except _NotTextError:
        if _is_binary(path):
            return None
        raise
    return _whole(path)


def _is_binary(path: Path) -> bool:
    with path.open("rb") as raw:
        packed = raw.read(2) == _GZIP_MARK
        raw.seek(0)
        head = gzip.GzipFile(fileobj=raw).read(1024) if packed else raw.read(1024)
    return b"\0" in head


def _whole(path: Path) -> RowFile | JsonFile:
    with _opened(path) as file:
        text = file.read(MAX_JSON + 1)
    if len(text) > MAX_JSON:
        raise RecordingError(
            Place(str(path)), f"a JSON value of more than {MAX_JSON:,} characters", "export a shorter span"
        )
    try:
        value = _loaded(text)
    except ValueError as error:
        line = getattr(error, "lineno", None)
        raise RecordingError(Place(str(path), line), f"not JSON ({error})", "record it again") from None
    except RecursionError:
        raise RecordingError(Place(str(path)), "JSON nested too deep", "record it again") from None
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return RowFile(path, tuple(value[0]))
    return JsonFile(path, value)


def _one_object(line: str) -> dict[str, Value] | None:
    try:
        value = _loaded(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _loaded(text: str) -> Value:
    return json.loads(text, parse_float=str, parse_int=str, parse_constant=str)


def _rows(path: Path, file: TextIOWrapper) -> Iterator[Row | RecordingError]:
    first = file.readline(MAX_LINE + 1)
    if first.lstrip()[:1] == "[":
        value = _loaded(first + file.read(MAX_JSON))
        yield from (_object(path, number, each) for number, each in enumerate(value, 1))
        return
    first = _bounded(path, first, 1)
    if first.lstrip()[:1] == "{":
        yield from _json_rows(path, file, first)
    else:
        yield from _csv_rows(path, file, first)


def _csv_rows(path: Path, file: TextIOWrapper, header: str) -> Iterator[Row | RecordingError]:
    names = [name.strip() for name in next(csv.reader([header]))]
    csv.field_size_limit(MAX_LINE)
    reader = csv.reader(_lines(path, file, 2))
    try:
        for values in reader:
            if len(values) == len(names):
                yield Row(reader.line_num + 1, dict(zip(names, values, strict=True)))
            elif values:
                place = Place(str(path), reader.line_num + 1)
                cause = f"{len(values)} values for {len(names)} columns"
                yield RecordingError(place, cause, "was the file cut short?")
    except csv.Error as error:
        raise RecordingError(Place(str(path), reader.line_num + 1), str(error), "is it a CSV file?") from None


def _json_rows(path: Path, file: TextIOWrapper, first: str) -> Iterator[Row | RecordingError]:
    yield _parsed(path, 1, first)
    for number, line in enumerate(_lines(path, file, 2), 2):
        if line.strip():
            yield _parsed(path, number, line)


def _parsed(path: Path, number: int, line: str) -> Row | RecordingError:
    try:
        value = _loaded(line)
    except (ValueError, RecursionError) as error:
        return RecordingError(Place(str(path), number), f"not JSON ({error})", "was the file cut short?")
    return _object(path, number, value)


def _object(path: Path, number: int, value: Value) -> Row | RecordingError:
    if isinstance(value, dict):
        return Row(number, value)
    return RecordingError(Place(str(path), number), "not a JSON object", "write one object for each row")


def _lines(path: Path, file: TextIOWrapper, number: int) -> Iterator[str]:
    while line := file.readline(MAX_LINE + 1):
        yield _bounded(path, line, number)
        number += 1


def _bounded(path: Path, line: str, number: int) -> str:
    if len(line) > MAX_LINE:
        raise RecordingError(
            Place(str(path), number), f"a line of more than {MAX_LINE:,} characters", "is it a row file?"
        )
    return line


@contextmanager
def _opened(path: Path) -> Iterator[TextIOWrapper]:
    """Open a file as text, gunzipped when its first bytes say so; damage is a `RecordingError`."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP_MARK
            raw.seek(0)
            plain = gzip.GzipFile(fileobj=raw) if packed else raw
            with TextIOWrapper(plain, encoding="utf-8-sig", newline="") as text:
                yield text
    except UnicodeDecodeError as error:
        cause = f"byte {error.object[error.start]:#04x} is not UTF-8"
        raise _NotTextError(Place(str(path)), cause, "save it as UTF-8") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise RecordingError(Place(str(path)), f"damaged gzip ({error})", "copy the file again") from None
    except OSError as error:
        cause = error.strerror or str(error)
        raise RecordingError(Place(str(path)), cause, "check the path and its permissions") from None
