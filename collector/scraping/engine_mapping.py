"""From a page's series to engine samples: one for each data-parallel rank of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from collector.engines import Engine, Fold, Signal
from collector.fit import fitting
from collector.scraping.exposition import Page, Series
from telemetry.columns import TABLE, Kind
from telemetry.samples import ReplicaState
from telemetry.units import MICROS_PER_SECOND, micros

_FOLDS: Final[Mapping[Fold, Callable[[Sequence[float]], float]]] = {Fold.SUM: sum, Fold.MAX: max}
_INT64: Final = 2**63
_MAX_RANKS: Final = 100_000

MAX_REPLICAS: Final = 128
"""Ranks of one page that are read; no engine shows as many."""


@dataclass(frozen=True, slots=True)
class RankReading:
    """What a page says of one rank: its model and the columns it could fill."""

    rank: int
    model: str | None
    state: ReplicaState
    columns: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LabelledReading:
    """What the series with one rank label say; with no labels, what those without a rank say."""

    labels: Mapping[str, str]
    columns: Mapping[str, Any]


def read_ranks(engine: Engine, page: Page) -> list[RankReading]:
    """Return a reading for each rank, by rank; one of rank 0 for a page without ranks.

    Absent series leave their column out. A value that is negative or too large is none. What a
    page tells without a rank, though it has ranks, counts once: with its first rank.
    """
    readings = []
    for place, label in enumerate([*_labels(engine, page)] or [None]):
        view = _View(engine, page, label, first=not place)
        rank = 0 if label is None else _rank(label)
        readings.append(RankReading(rank, view.model(), view.state(), view.columns(engine.signals)))
    return readings


def read_labelled(engine: Engine, page: Page) -> list[LabelledReading]:
    """Return what the page says of each rank, and apart from them what it says without a rank."""
    ranked = [
        LabelledReading(
            {str(engine.rank_label): label}, _View(engine, page, label, first=False).columns(engine.signals)
        )
        for label in _labels(engine, page)
    ]
    bare = _View(engine, page, None, first=True)
    own = [signal for signal in engine.signals if not signal.shared]
    if ranked and not bare.columns(own):
        return ranked
    return [LabelledReading({}, bare.columns(own if ranked else engine.signals)), *ranked]


def _labels(engine: Engine, page: Page) -> list[str]:
    """Return the rank labels of a page, by rank: one for each rank, at most `MAX_REPLICAS`."""
    if engine.rank_label is None:
        return []
    labels = {
        label
        for group in page.series.values()
        for series in group
        if (label := series.labels.get(engine.rank_label))
    }
    by_rank = {_rank(label): label for label in sorted(labels, reverse=True)}
    return [by_rank[rank] for rank in sorted(by_rank)[:MAX_REPLICAS]]


def _rank(label: str) -> int:
    """Return a rank label as a number; a name (a replica's id) gets one that stays the same."""
    number = int(label) if label.isascii() and label.isdigit() and len(label) < 6 else None
    return crc32(label.encode()) % _MAX_RANKS if number is None else number


@dataclass(frozen=True, slots=True)
class _View:
    """The series of a page that belong to one rank: its own, and of those without a rank its share."""

    engine: Engine
    page: Page
    rank: str | None
    first: bool

    def columns(self, signals: Sequence[Signal]) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        for signal in signals:
            if signal.column not in columns and (value := self._column(signal)) is not None:
                columns[signal.column] = value
        return fitting(columns)

    def model(self) -> str | None:
        for label in self.engine.model_labels:
            models = {
                series.labels[label]
                for group in self.page.series.values()
                for series in group
                if label in series.labels and self._has(series, shared=True)
            }
            if models:
                return min(models)
        return None

    def state(self) -> ReplicaState:
        awake = self.engine.awake
        told = self._values(awake.names[0], awake) if awake else []
        return ReplicaState.PAUSED if told and not any(told) else ReplicaState.READY

    def _column(self, signal: Signal) -> int | float | None:
        value = self._folded(signal)
        if value is None:
            return None
        if TABLE["engine_samples"].column(signal.column).kind is Kind.FLOAT:
            return value * signal.scale
        if value * signal.scale >= _INT64:
            return None
        if signal.scale == MICROS_PER_SECOND:
            return micros(value)
        return round(value * signal.scale)

    def _folded(self, signal: Signal) -> float | None:
        values = next((found for name in signal.names if (found := self._values(name, signal))), [])
        if not values or not self._applies(signal):
            return None
        for name in signal.added:
            values += self._values(name, signal)
        folded = _FOLDS[signal.fold](values)
        if signal.over is None:
            return folded
        whole = self._folded(signal.over)
        return folded / whole if whole else None

    def _applies(self, signal: Signal) -> bool:
        shown = self.page.series
        beside = not signal.beside or any(name in shown for name in signal.beside)
        return beside and not any(name in shown for name in signal.unless)

    def _values(self, name: str, signal: Signal) -> list[float]:
        """Return the values of a series' copies, those that only repeat another left out."""
        found: dict[frozenset[tuple[str, str]], float] = {}
        for series in self.page.series.get(name, ()):
            if not self._has(series, shared=signal.shared) or not _chosen(series, signal):
                continue
            value = _number(series, signal)
            if value is None or value < 0:  # -1 is vLLM's "switched off"; nothing here can be negative
                continue
            own = frozenset(item for item in series.labels.items() if item[0] not in self.engine.repeats)
            found[own] = max(value, found.get(own, value))
        return list(found.values())

    def _has(self, series: Series, *, shared: bool) -> bool:
        label = self.engine.rank_label
        own = series.labels.get(label) if label else None
        return (shared or self.first) if not own else own == self.rank


def _chosen(series: Series, signal: Signal) -> bool:
    return all(series.labels.get(label, "") in allowed for label, allowed in signal.labels.items())


def _number(series: Series, signal: Signal) -> float | None:
    if signal.constant is not None:
        return signal.constant
    if signal.value_label is None:
        return series.value
    text = series.labels.get(signal.value_label, "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
