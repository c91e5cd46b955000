"""The promise that stands between the languages: what is bad of what, and whom to wake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from service.objectives.languages.readers import WINDOW
from service.objectives.mistakes import Place
from slo.pairs import Pair
from telemetry.condition import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """PromQL with a window left open: of `total`, `bad` or all but `good`; or the error ratio itself.

    Exactly one of `bad`, `good` and `ratio` is not empty; `total` is empty beside a ratio.
    """

    total: str = ""
    bad: str = ""
    good: str = ""
    ratio: str = ""

    def error_ratio(self, window: str) -> str:
        """Return the share of bad over one window: a ratio of sums, whatever its length."""
        filled = {part: _filled(getattr(self, part), window) for part in ("total", "bad", "good", "ratio")}
        if self.ratio:
            return f"({filled['ratio']})"
        if self.bad:
            return f"({filled['bad']})\n/\n({filled['total']})"
        return f"1 - (\n  ({filled['good']})\n  /\n  ({filled['total']})\n)"


def _filled(query: str, window: str) -> str:
    """Return a query over one window; a comment in its last line must not swallow what follows."""
    filled = WINDOW.sub(window, query.strip())
    return f"{filled}\n" if "#" in filled else filled


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert: its own labels and annotations beside those of the promise."""

    name: str
    severity: Severity
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a promise was written: for mistakes, and for the `sloth_slo_info` of dashboards."""

    place: Place
    mode: str
    spec: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLevel:
    """A promise in the terms of Sloth, whose dashboards know its labels.

    `target` is the exact share of good in (0, 1], `period_us` how long the budget lasts, `pairs`
    the burn rates that may alert; an alert has the pairs of its severity.
    """

    service: str
    name: str
    query: Query
    target: Decimal
    period_us: int
    pairs: tuple[Pair, ...]
    origin: Origin
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    alerts: tuple[Alert, ...] = ()

    @property
    def id(self) -> str:
        """The name that no other promise may have."""
        return f"{self.service}-{self.name}"

    @property
    def budget(self) -> Fraction:
        """The share that may be bad: 1 - target, exactly."""
        return 1 - Fraction(self.target)

    @property
    def windows_us(self) -> tuple[int, ...]:
        """Every window its alerts compare, shortest first; the period is not among them."""
        return tuple(sorted({window for pair in self.pairs for window in (pair.short_us, pair.long_us)}))

    def error_ratio(self, pair: Pair) -> Fraction:
        """Return the share of bad above which a pair fires, exactly."""
        return pair.factor(self.period_us) * self.budget
