"""An objective tried on the past with another threshold or target: stored facts judged anew.

Guarantee: every answer is the count of the same facts by the moved objective, request by request;
nothing is interpolated from a histogram. The facts of the last questions stay in memory, so
that moving a threshold reads no store: 10,000 requests take some 5 ms, a million half a second.
Live ones are read again after `FRESH_SECONDS`, for what came late.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from service.objectives.parameters import parameters
from service.past.backtesting import History
from slo.backtest import WouldBe, would_have_alerted
from slo.cells import Cells, fold, merge
from slo.corrections import Mask, corrected
from slo.errors import ObjectiveError
from slo.objective import Objective
from telemetry.frame import Frame
from telemetry.units import MICROS_PER_MINUTE

MOST_ROWS: Final = 1_500_000
"""Most facts kept in memory, some 100 MB; of a longer past each answer reads the store again."""
FRESH_SECONDS: Final = 120.0
"""How long live facts are taken from memory."""
_MICROS: Final = "_us"


class TrialError(ValueError):
    """A threshold or target that cannot be tried; the message says why, and what can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A moved objective over [from_us, to_us): its counts by the minute, and when it would have alerted.

    `silent` = why it could never alert as it is now; None = it could.
    """

    objective: Objective
    cells: Cells
    alerts: tuple[WouldBe, ...]
    silent: str | None


@dataclass(frozen=True, slots=True)
class _Read:
    """Facts, and at which second they were read."""

    at: float
    frames: tuple[Frame, ...]


def movable(objective: Objective) -> dict[str, int]:
    """Return the limits of an objective that can be moved: parameter to microseconds."""
    indicator = objective.indicator
    return {
        each.name: getattr(indicator, each.field)
        for each in parameters(type(indicator))
        if each.field.endswith(_MICROS) and getattr(indicator, each.field) is not None
    }


def numbers(objective: Objective) -> dict[str, Decimal]:
    """Return the thresholds of an objective that can be moved, each in its column's own unit; above 0."""
    indicator = objective.indicator
    given = {each.name: getattr(indicator, each.field) for each in parameters(type(indicator))}
    return {name: at for name, at in given.items() if isinstance(at, Decimal) and at > 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What is moved, by the names that a file has for it; `target` None = it stays."""

    limits_us: Mapping[str, int] = field(default_factory=dict)
    numbers: Mapping[str, Decimal] = field(default_factory=dict)
    target: Decimal | None = None


def moved(objective: Objective, move: Move) -> tuple[Objective, str | None]:
    """Return an objective with other limits and target, and why it could never alert (None = it could).

    Raises `TrialError` for a limit that it does not have, or one that nobody can keep.
    """
    limits, target = {**move.limits_us, **move.numbers}, move.target
    fields = {name: f"{name}{_MICROS}" for name in movable(objective)} | {
        name: name for name in numbers(objective)
    }
    for name in limits:
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise TrialError(f"{objective.name} has no limit {name!r} to move; {known} can be")
    try:
        indicator = replace(objective.indicator, **{fields[name]: at for name, at in limits.items()})  # type: ignore[type-var]
        terms = {"indicator": indicator, "target": objective.target if target is None else target}
    except ObjectiveError as error:
        raise TrialError(str(error)) from None
    try:
        return replace(objective, **terms), None  # type: ignore[arg-type]
    except ObjectiveError as error:
        why = f"{error.cause}; {error.hint}"
    try:
        return replace(objective, **terms, policy="none"), why  # type: ignore[arg-type]
    except ObjectiveError as error:
        raise TrialError(str(error)) from None


class Trying:
    """Tries objectives on the past. Thread-safe."""

    def __init__(self, most_rows: int = MOST_ROWS, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._most, self._rows, self._seconds = most_rows, 0, seconds
        self._kept: OrderedDict[tuple[object, ...], _Read] = OrderedDict()
        self._lock = threading.Lock()

    def trial(
        self, history: History, objective: Objective, *, from_us: int, to_us: int, silent: str | None = None
    ) -> Trial:
        """Return what an objective would have made of [from_us, to_us). A query a stride, or none.

        Windows that began before `from_us` are full as far as facts are kept. What corrections of an
        objective of this name leave out stays out. Raises `StoreError`.
        """
        begin_us = from_us - max(objective.paired_us, default=0)
        mask = Mask.of(history.corrections(objective.name), MICROS_PER_MINUTE)
        cells = corrected(self.cells(history, objective, begin_us, to_us), mask)
        return Trial(
            objective=objective,
            cells=cells,
            alerts=tuple(would_have_alerted(objective, cells, from_us=from_us, to_us=to_us)),
            silent=silent,
        )

    def cells(self, history: History, objective: Objective, from_us: int, to_us: int) -> Cells:
        """Return the counts of [from_us, to_us) by the minute. A query a stride, or none."""
        table = objective.indicator.table
        key = (history.dataset, table, *sorted(objective.columns), from_us, to_us)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and not history.dataset and self._seconds() - kept.at > FRESH_SECONDS:
                self._forget(key)
                kept = None
            if kept is not None:
                self._kept.move_to_end(key)
        if kept is not None:
            return merge([fold(frame, objective) for frame in kept.frames])
        return self._read(history, objective, key, from_us, to_us)

    def _read(
        self, history: History, objective: Objective, key: tuple[object, ...], from_us: int, to_us: int
    ) -> Cells:
        parts, frames, rows = [], [], 0
        for start_us, until_us in history.strides(objective.indicator.table, from_us, to_us):
            frame = history.rows(objective, start_us, until_us)
            parts.append(fold(frame, objective))
            rows += frame.rows
            if rows <= self._most:
                frames.append(frame)
        if rows <= self._most:
            self._keep(key, tuple(frames), rows)
        return merge(parts)

    def _keep(self, key: tuple[object, ...], frames: tuple[Frame, ...], rows: int) -> None:
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = _Read(self._seconds(), frames)
            self._rows += rows
            while self._rows > self._most:
                self._forget(next(iter(self._kept)))

    def _forget(self, key: tuple[object, ...]) -> None:
        self._rows -= sum(frame.rows for frame in self._kept.pop(key).frames)
