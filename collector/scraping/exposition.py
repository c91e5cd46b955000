"""A metrics page in Prometheus' text format, read family by family.

Guarantees: a line that cannot be read costs its own family and is told; no page of bytes raises;
memory and time are bounded by the page's size. Only the families asked for are parsed, and of a
histogram only `_sum` and `_count`: of a vLLM page of 400 series that leaves 60.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from prometheus_client.parser import text_fd_to_metric_families

MAX_LINE_BYTES: Final = 16 * 1024
MAX_LABEL_LENGTH: Final = 1024
MAX_SERIES: Final = 20_000
MAX_FAULTS: Final = 20

_NAME: Final = re.compile(rb"[a-zA-Z_:][a-zA-Z0-9_:]*")
_HEADER: Final = re.compile(rb"#\s*(?:HELP|TYPE)\s+([a-zA-Z_:][a-zA-Z0-9_:]*)")
_PARTS: Final = ("_total", "_sum", "_count", "_created", "_info")
_BUCKET: Final = re.compile(rb"[a-zA-Z0-9_:]+_bucket[{ ]")
_TYPE: Final = re.compile(rb"#\s*TYPE\s+(\S+)\s+(\S+)\s*")
_SAMPLE: Final = re.compile(
    rb"""([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\})?[ \t]+([^\s_]+)[ \t]*"""
)
_UNREADABLE: Final = (ValueError, LookupError, TypeError, AttributeError)
"""What the library's parser raises for what it cannot read."""

Sample = tuple[str, Mapping[str, str], float]
"""A series' name, its labels and its value."""


class PageError(Exception):
    """What was read is no metrics page at all: what it looks like, and what to check."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a page: its labels and its finite value."""

    labels: Mapping[str, str]
    value: float


@dataclass(slots=True)
class Page:
    """What could be read: series by their name on the wire, and sentences about what could not."""

    series: dict[str, list[Series]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class _Gathered:
    """The series a page has so far: bounded, none of them twice."""

    def __init__(self) -> None:
        self.page = Page()
        self._kept = set[tuple[str, frozenset[tuple[str, str]]]]()

    def add(self, name: str, labels: Mapping[str, str], value: float) -> None:
        """Keep one series, or tell why not."""
        known = self.page.series.setdefault(name, [])
        if not math.isfinite(value):
            return  # NaN says "no value"; infinity is no reading
        key = name, frozenset(labels.items())
        if any(len(text) > MAX_LABEL_LENGTH for text in labels.values()):
            self.fault(f"{name}: a label above {MAX_LABEL_LENGTH:,} characters")
        elif len(self._kept) >= MAX_SERIES:
            self.fault(f"{name}: more than {MAX_SERIES:,} series on the page")
        elif key in self._kept:
            self.fault(f"{name}: the same series twice; the first is used")
        else:
            self._kept.add(key)
            known.append(Series(labels, value))

    def fault(self, sentence: str) -> None:
        """Note a sentence about what could not be read, `MAX_FAULTS` of them at most."""
        if len(self.page.faults) < MAX_FAULTS and sentence not in self.page.faults:
            self.page.faults.append(sentence)


def family_of(name: str) -> str:
    """Return the family a series name belongs to: the name without its conventional ending."""
    for part in _PARTS:
        name = name.removesuffix(part)
    return name


def parse(body: bytes, wanted: Collection[str]) -> Page:
    """Return the series of the families in `wanted` (see `family_of`); never raises for a family.

    Raises `PageError` when the bytes are no text or an HTML page.
    """
    if body.lstrip()[:1] == b"<":
        raise PageError("the answer is an HTML page, not metrics; is this the right port and path?")
    if b"\0" in body:
        raise PageError("the answer is binary, not metrics; is this the right port and path?")
    found = _Gathered()
    for name, lines in _blocks(body):
        if family_of(name) in wanted:
            _read_block(found, name, lines)
    return found.page


def names(body: bytes, prefix: str) -> set[str]:
    """Return the series names of a page that begin with a prefix, buckets left out."""
    found = re.findall(rb"^(" + re.escape(prefix.encode()) + rb"[a-zA-Z0-9_:]*)[{ ]", body, re.MULTILINE)
    return {name.decode() for name in found if not name.endswith(b"_bucket")}


def _blocks(body: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Yield runs of lines of one family, each under the name its first line gives."""
    name, lines = "", list[bytes]()
    for line in body.splitlines():
        if _BUCKET.match(line):
            continue
        own = _named(line)
        if own is None or (name and own.startswith(name)):
            lines.append(line)
            continue
        if name:
            yield name, lines
        name, lines = own, [line]
    if name:
        yield name, lines


def _named(line: bytes) -> str | None:
    """Return the name a line is about; None for a comment, a blank or a line without a name."""
    match = _HEADER.match(line) if line.startswith(b"#") else _NAME.match(line)
    if match is None:
        return None
    return match[match.lastindex or 0].decode()


def _read_block(found: _Gathered, name: str, lines: list[bytes]) -> None:
    kept = [line for line in lines if _is_line(found, name, line)]
    if any(len(line) > MAX_LINE_BYTES for line in kept):
        found.fault(f"{name}: a line above {MAX_LINE_BYTES:,} bytes")
        return
    try:
        samples = _plain(kept)
        if samples is None:
            samples = _parsed(b"\n".join(kept))
    except _UNREADABLE as error:
        found.fault(f"{name}: {str(error)[:120] or type(error).__name__}")
        return
    for series, labels, value in samples:
        found.add(series, labels, value)


def _parsed(text: bytes) -> list[Sample]:
    """Return what a block says, by the library's parser. Raises one of `_UNREADABLE`."""
    families = text_fd_to_metric_families(io.StringIO(text.decode() + "\n"))
    return [(one.name, one.labels, one.value) for family in families for one in family.samples]


def _plain(lines: list[bytes]) -> list[Sample] | None:
    """Return what a block of plain lines says, as `_parsed` does; None when a line is not plain.

    Three times as fast: the labels of a series are the same on every page and parsed once.
    """
    samples: list[Sample] = []
    counter = b""
    for line in lines:
        if line.startswith(b"#"):
            typed = _TYPE.fullmatch(line)
            counter = typed[1] if typed and typed[2] == b"counter" else counter
            continue
        found = _SAMPLE.fullmatch(line)
        if found is None and line.strip():
            return None
        if found:
            name, labels, value = found.groups()
            ending = "_total" if name == counter and not name.endswith(b"_total") else ""
            samples.append((name.decode() + ending, _labels(labels) if labels else {}, float(value)))
    return samples


@lru_cache(maxsize=MAX_SERIES)
def _labels(text: bytes) -> Mapping[str, str]:
    """Return the labels between braces. Raises one of `_UNREADABLE`."""
    ((_, labels, _),) = _parsed(b"x" + text + b" 0")
    return labels


def _is_line(found: _Gathered, name: str, line: bytes) -> bool:
    """Tell whether a line may be about a series; one that names none costs itself only."""
    if not line.strip() or line.startswith(b"#") or _NAME.match(line):
        return True
    found.fault(f"{name}: a line that names no series")
    return False
