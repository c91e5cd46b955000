"""Inference engines: one file each, which says how to recognise it, what its metrics mean, its traps.

Every `Engine` that a file in this folder defines is known; nothing else names it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from itertools import islice
from typing import Final

from collector.scraping.exposition import MAX_SERIES, Page, family_of, names, parse
from telemetry.identity import Vantage
from telemetry.units import MICROS_PER_SECOND

UNVERIFIED: Final = "from source, unverified"
"""Said of an engine whose map was never checked against a page of the real program."""

PROCESS_START: Final = "process_start_time_seconds"
"""What every Python server with the usual metrics library tells, outside multiprocess mode."""


class Fold(Enum):
    """How several series of one replica (models, adapters) become one value."""

    SUM = "sum"
    MAX = "max"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One column of an engine sample and where it is read.

    `names` are series names of which the first one present is used, newest first: an engine
    that shows an old and a new name at once is counted once. `added` are series folded in with it.
    Of several signals of one column the first that the page can fill is used.
    """

    column: str
    names: tuple[str, ...]
    added: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    """Only on a page that has one of these series too."""
    unless: tuple[str, ...] = ()
    """Not on a page that has one of these series: beside them it means something else."""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Only series whose labels have one of these values; "" = without the label."""
    value_label: str | None = None
    """Read the value from this label of an info series instead."""
    constant: int | None = None
    """This instead of the value, where the series is present."""
    over: Signal | None = None
    """Divided by this; absent where this is absent or zero."""
    scale: int = 1
    fold: Fold = Fold.SUM
    shared: bool = False
    """A series without a rank is about every replica of the page, not to be counted once."""

    def series(self) -> tuple[str, ...]:
        """Return every series name it may be read from."""
        divisor = self.over.series() if self.over else ()
        return self.names + self.added + self.beside + self.unless + divisor


@dataclass(frozen=True, slots=True)
class Prefix:
    """Writes signals of series that share a beginning, so that a map reads as a table."""

    text: str

    def gauge(self, column: str, *series: str, **labels: tuple[str, ...]) -> Signal:
        """Return a signal read from the first of these series."""
        return Signal(column=column, names=self.names(*series), labels=labels)

    def largest(self, column: str, *series: str, **labels: tuple[str, ...]) -> Signal:
        """Return a signal read from the largest of the first of these series."""
        return replace(self.gauge(column, *series, **labels), fold=Fold.MAX)

    def counter(self, column: str, *series: str, **labels: tuple[str, ...]) -> Signal:
        """Return a signal read from the first of these counters, named without their `_total`."""
        return self.gauge(column, *(f"{name}_total" for name in series), **labels)

    def seconds(self, column: str, *histograms: str) -> Signal:
        """Return a signal in µs read from the sum of the first of these histograms of seconds."""
        names = self.names(*(f"{name}_sum" for name in histograms))
        return Signal(column=column, names=names, scale=MICROS_PER_SECOND)

    def timing(self, what: str, *histograms: str) -> tuple[Signal, Signal]:
        """Return the two columns `<what>_count_total` and `<what>_us_total` of a histogram."""
        count = self.gauge(f"{what}_count_total", *(f"{name}_count" for name in histograms))
        return count, self.seconds(f"{what}_us_total", *histograms)

    def names(self, *series: str) -> tuple[str, ...]:
        """Return the series' whole names."""
        return tuple(self.text + name for name in series)

    def families(self, text: str) -> frozenset[str]:
        """Return the whole names of families written apart by blanks."""
        return frozenset(self.names(*text.split()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A kind of inference server, as data."""

    name: str
    title: str
    prefixes: tuple[str, ...]
    """What its series begin with."""
    marks: tuple[str, ...] = ()
    """Beginnings by which a page is known as its own; none = its prefixes."""
    ports: tuple[int, ...]
    """Where it listens unless told otherwise."""
    metrics_path: str
    version_path: str | None = None
    """Where it tells its version as JSON `{"version": ...}`."""
    rank_label: str | None = None
    repeats: tuple[str, ...] = ()
    """Labels whose values tell the same thing again: of such series the largest value counts."""
    model_labels: tuple[str, ...] = ()
    """Where a series names its model; none = it serves many and no single one can be named."""
    vantage: Vantage = Vantage.ENGINE
    """`edge` = a router's view of engines behind it, never to be added to their own."""
    signals: tuple[Signal, ...] = ()
    awake: Signal | None = None
    """1 while it serves, 0 while it sleeps; None when it cannot sleep."""
    unused: frozenset[str] = frozenset()
    """Families that are known and say nothing the vocabulary has a word for."""
    spans: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Series by the releases between which they were seen: bounds that hold, not sharp edges."""
    read: Callable[[bytes], Page | None] | None = None
    """Reads its page when that is not Prometheus text; None = the bytes are not its page."""
    captured: bool = True
    """Whether its map was checked against a page of the real program, not its source alone."""
    expected: tuple[str, ...] = ()
    """Columns without which it cannot be judged: `inferometer doctor` names a missing one."""
    advice: str = ""
    """What to do when its page has none of its series."""

    @property
    def provenance(self) -> str:
        """How its map is known: `captured`, or `UNVERIFIED`."""
        return "captured" if self.captured else UNVERIFIED

    def families(self) -> frozenset[str]:
        """Return the families to parse of its page."""
        signals = (*self.signals, *((self.awake,) if self.awake else ()))
        return frozenset(family_of(name) for signal in signals for name in signal.series())

    def owns(self, name: str) -> bool:
        """Tell whether a series or family is one of its own."""
        return name.startswith(self.prefixes)

    def page(self, body: bytes) -> Page:
        """Return what can be read of its page. Raises `PageError` when it is no metrics page."""
        page = self.read(body) if self.read else None
        return parse(body, self.families()) if page is None else page


@cache
def engines() -> tuple[Engine, ...]:
    """Return every engine this folder defines, by title."""
    modules = (
        importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    )
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Engine)]
    return tuple(sorted(found, key=lambda engine: engine.title))


def recognise(body: bytes) -> Engine | None:
    """Return the engine whose series a metrics page has; None when it is no engine's."""
    if body.lstrip()[:1] == b"{":
        return next((engine for engine in engines() if engine.read and engine.read(body)), None)
    return engine_of(names(body, ""))


def engine_of(series: Collection[str]) -> Engine | None:
    """Return the engine that has most of these series: one inside a server tells more than its server.

    Of a page with more names than any engine has, some are looked at.
    """
    series = list(islice(series, MAX_SERIES))
    held = [
        (sum(map(engine.owns, series)), engine)
        for engine in engines()
        if any(name.startswith(engine.marks or engine.prefixes) for name in series)
    ]
    return max(held, key=lambda found: found[0])[1] if held else None
