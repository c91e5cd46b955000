"""From a page's series to engine samples: one for each data-parallel rank of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from collector.engines import Engine, Fold, Signal
from collector.exposition import Page, Series
from collector.fit import fitting
from telemetry.columns import TABLE, Kind
from telemetry.samples import ReplicaState
from telemetry.units import micros

_FOLDS: Final[Mapping[Fold, Callable[[Sequence[float]], float]]] = {Fold.SUM: sum, Fold.MAX: max}
_INT64: Final = 2**63


@dataclass(frozen=True, slots=True)
class RankReading:
    """What a page says of one rank: its model and the columns it could fill."""

    rank: int
    model: str | None
    state: ReplicaState
    columns: Mapping[str, Any]


def read_ranks(engine: Engine, page: Page) -> list[RankReading]:
    """Return a reading for each rank, by rank; one of rank 0 for a page without ranks.

    Absent series leave their column out. A value that is negative or too large is none.
    """
    ranks = _ranks(engine, page)
    return [
        _rank(engine, page, _View(engine.rank_label, label, first=not place), rank)
        for place, (rank, label) in enumerate(ranks)
    ]


def _ranks(engine: Engine, page: Page) -> list[tuple[int, str | None]]:
    labels = {
        series.labels[engine.rank_label]
        for group in page.series.values()
        for series in group
        if engine.rank_label in series.labels
    }
    ranks = [
        (int(label), label) for label in labels if label.isascii() and label.isdigit() and len(label) < 6
    ]
    return sorted(ranks) or [(0, None)]


@dataclass(frozen=True, slots=True)
class _View:
    """Which series of a page belong to one rank: its own, and of those without a rank its share."""

    rank_label: str
    rank: str | None
    first: bool

    def has(self, series: Series, *, shared: bool) -> bool:
        own = series.labels.get(self.rank_label)
        return (shared or self.first) if own is None else own == self.rank


def _rank(engine: Engine, page: Page, view: _View, rank: int) -> RankReading:
    values = {signal.column: _value(page, signal, view) for signal in engine.signals}
    columns = fitting({column: value for column, value in values.items() if value is not None})
    return RankReading(rank, _model(engine, page, view), _state(engine, page, view), columns)


def _value(page: Page, signal: Signal, view: _View) -> int | float | None:
    values = next((found for name in signal.names if (found := _values(page, name, signal, view))), [])
    if not values:
        return None
    for name in signal.added:
        values += _values(page, name, signal, view)
    folded = _FOLDS[signal.fold](values)
    if TABLE["engine_samples"].column(signal.column).kind is Kind.FLOAT:
        return folded * signal.scale
    if folded * signal.scale >= _INT64:
        return None
    return micros(folded) if signal.scale != 1 else round(folded)


def _values(page: Page, name: str, signal: Signal, view: _View) -> list[float]:
    return [
        value
        for series in page.series.get(name, ())
        if view.has(series, shared=signal.shared)
        and all(series.labels.get(label) in allowed for label, allowed in signal.labels.items())
        and (value := _number(series, signal.value_label)) is not None
        and value >= 0  # -1 is vLLM's "switched off"; nothing here can be negative
    ]


def _number(series: Series, label: str | None) -> float | None:
    if label is None:
        return series.value
    text = series.labels.get(label, "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _model(engine: Engine, page: Page, view: _View) -> str | None:
    models = {
        series.labels[engine.model_label]
        for group in page.series.values()
        for series in group
        if engine.model_label in series.labels and view.has(series, shared=True)
    }
    return min(models) if models else None


def _state(engine: Engine, page: Page, view: _View) -> ReplicaState:
    awake = _values(page, engine.awake.names[0], engine.awake, view) if engine.awake else []
    return ReplicaState.PAUSED if awake and not any(awake) else ReplicaState.READY
