"""One unit test of objectives, as values. Instants are UTC microseconds, places are in its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.objectives.mistakes import Place
from slo.cells import Cells, Key
from slo.objective import Objective
from telemetry.condition import Severity


@dataclass(frozen=True, slots=True, order=True)
class Firing:
    """An alert by its severity and the group it is about."""

    severity: Severity
    group: Key


@dataclass(frozen=True, slots=True)
class Expected:
    """Something that is to be so of an objective at an instant."""

    place: Place
    at_us: int
    objective: Objective


@dataclass(frozen=True, slots=True)
class ExpectedAlerts(Expected):
    """The alerts of an objective that stand at an instant: these and no others."""

    firing: frozenset[Firing]


@dataclass(frozen=True, slots=True)
class ExpectedValue(Expected):
    """A value of one group at an instant: `text` as written, right to as many decimals.

    `what` is `good`, `total`, `budget_left` or `burn`, the last over `window_us`.
    """

    group: Key
    what: str
    text: str
    window_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A test: counts by objective name, judged every `step_us` from `start_us` on."""

    name: str
    start_us: int
    step_us: int
    cells: Mapping[str, Cells]
    alerts: tuple[ExpectedAlerts, ...]
    values: tuple[ExpectedValue, ...]

    @property
    def expected(self) -> tuple[Expected, ...]:
        """All that is to be so."""
        return (*self.alerts, *self.values)
