"""One saved metrics page, read into the vocabulary, and all that was not read told by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Final

from collector.engines import Engine, Signal, engines, recognise
from collector.scraping.engine_mapping import LabelledReading, read_labelled
from collector.scraping.exposition import MAX_SERIES, Page, PageError, parse
from telemetry.columns import TABLE

MAX_PAGE_BYTES: Final = 8 * 1024 * 1024

_NAMED: Final = re.compile(rb"^(?:# *(?:TYPE|HELP) +)?([a-zA-Z_:][a-zA-Z0-9_:]*)(?=[{ ])", re.MULTILINE)
_ENDING: Final = re.compile(r"(?:_bucket|_sum|_count|_created|_total|_info)+$")
_LIKENESS: Final = 0.75


@dataclass(frozen=True, slots=True)
class SavedReplica:
    """What a page says of one replica: a value for every word there is; None = it does not say."""

    labels: Mapping[str, str]
    values: Mapping[str, int | float | None]


@dataclass(frozen=True, slots=True)
class Rename:
    """A value that is not under its newest name: where it was read, or where it may be (a guess)."""

    value: str
    newest: str
    found: str
    guess: bool


@dataclass(frozen=True, slots=True)
class Families:
    """Every family of the page: read; known and without a word; unknown; another program's."""

    read: Sequence[str]
    unused: Sequence[str]
    unknown: Sequence[str]
    foreign: Sequence[str]


@dataclass(frozen=True, slots=True)
class SavedPage:
    """A normalised page. `missing` are words of the engine's map that this page does not fill."""

    engine: str
    title: str
    provenance: str
    """How the engine's map is known (`Engine.provenance`)."""
    version_range: tuple[str, str] | None
    """Releases between which such a page was seen; None when its series do not tell."""
    replicas: Sequence[SavedReplica]
    missing: Sequence[str]
    renamed: Sequence[Rename]
    families: Families
    faults: Sequence[str]


@cache
def vocabulary() -> tuple[str, ...]:
    """Return the columns that some engine can fill, in the table's order."""
    filled = {signal.column for engine in engines() for signal in engine.signals}
    return tuple(column.name for column in TABLE["engine_samples"].columns if column.name in filled)


def normalise(body: bytes) -> SavedPage:
    """Return what a metrics page says. Raises `PageError` when it is too long or no known engine's."""
    if len(body) > MAX_PAGE_BYTES:
        raise PageError(f"the page has {len(body):,} bytes; at most {MAX_PAGE_BYTES:,} are read")
    engine = recognise(body)
    if engine is None:
        parse(body, ())  # tells an HTML or binary page apart
        known = ", ".join(sorted({each.name for each in engines()}))
        raise PageError(f"no known engine's series on the page; known are {known}")
    page = engine.page(body)
    readings = read_labelled(engine, page)
    filled = {column for reading in readings for column in reading.columns}
    shown = _shown(body) | set(page.series)
    return SavedPage(
        engine=engine.name,
        title=engine.title,
        provenance=engine.provenance,
        version_range=_versions(engine, shown),
        replicas=[_replica(reading) for reading in readings],
        missing=[word for word in vocabulary() if word in _words(engine) and word not in filled],
        renamed=[*_old_names(engine, page), *_guesses(engine, filled, shown)],
        families=_families(engine, shown),
        faults=page.faults,
    )


def _shown(body: bytes) -> set[str]:
    names = set(_NAMED.findall(body))
    if len(names) > MAX_SERIES:
        raise PageError(f"the page has {len(names):,} names of series; at most {MAX_SERIES:,} are read")
    return {name.decode() for name in names}


def _replica(reading: LabelledReading) -> SavedReplica:
    return SavedReplica(reading.labels, {word: reading.columns.get(word) for word in vocabulary()})


def _words(engine: Engine) -> set[str]:
    return {signal.column for signal in engine.signals}


def _versions(engine: Engine, shown: set[str]) -> tuple[str, str] | None:
    spans = [span for name, span in engine.spans.items() if name in shown]
    if not spans:
        return None
    since = max((span[0] for span in spans), key=_release)
    until = min((span[1] for span in spans), key=_release)
    return (since, until) if _release(since) <= _release(until) else None


def _release(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)))


def _old_names(engine: Engine, page: Page) -> Iterable[Rename]:
    """Yield the values read under a name that is not the newest, each once."""
    seen = set[str]()
    for signal in engine.signals:
        found = next((name for name in signal.names if page.series.get(name)), None)
        if found is None or signal.column in seen:
            continue
        seen.add(signal.column)
        if found != signal.names[0]:
            yield Rename(signal.column, signal.names[0], found, guess=False)


def _guesses(engine: Engine, filled: set[str], shown: set[str]) -> Iterable[Rename]:
    """Yield what looks like a new name of a value that should be there and is not."""
    for signal in engine.signals:
        near = near_name(engine, signal, shown) if signal.column in engine.expected else None
        if near is not None and signal.column not in filled:
            yield Rename(signal.column, signal.names[0], near, guess=True)


def near_name(engine: Engine, signal: Signal, shown: Iterable[str]) -> str | None:
    """Return the unread series of a page that is most like a signal's; None when none is near."""
    read = {name for each in engine.signals for name in each.series()}
    unused = {_family(name) for name in engine.unused}
    unread = sorted(
        name for name in shown if engine.owns(name) and name not in read and _family(name) not in unused
    )
    return next(iter(get_close_matches(signal.names[0], unread, n=1, cutoff=_LIKENESS)), None)


def _families(engine: Engine, shown: set[str]) -> Families:
    signals = (*engine.signals, *((engine.awake,) if engine.awake else ()))
    read = {_family(name) for signal in signals for name in signal.series()}
    unused = {_family(name) for name in engine.unused}
    sorts: dict[str, set[str]] = {"read": set(), "unused": set(), "unknown": set(), "foreign": set()}
    for family in map(_family, shown):
        known = "read" if family in read else "unused" if family in unused else None
        sorts[known or ("unknown" if engine.owns(family) else "foreign")].add(family)
    return Families(**{sort: sorted(names) for sort, names in sorts.items()})


def _family(name: str) -> str:
    return _ENDING.sub("", name) or name
