"""An objective: which requests, what is promised to them, how often, over which window."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Final

from slo.calendars import Calendar, Period
from slo.durations import MICROS_PER_DAY, written
from slo.errors import ObjectiveError
from slo.indicator import Indicator
from slo.pairs import POLICIES, Pair, Policy, usual_policy
from slo.significance import RISK
from slo.slices import OCCURRENCES, Budgeting, percent
from telemetry.columns import TABLE, Kind
from telemetry.condition import Severity
from telemetry.units import MICROS_PER_MINUTE

ALWAYS_KEPT_US: Final = tuple(minutes * MICROS_PER_MINUTE for minutes in (5, 30, 60, 120, 360, 1_440, 4_320))
"""5m 30m 1h 2h 6h 1d 3d: windows every objective is measured over; its period is the eighth."""

LONGEST_PERIOD_US: Final = 30 * MICROS_PER_DAY
"""Of a rolling window; a calendar period may be a year."""

OFFSET_US: Final = 15 * MICROS_PER_MINUTE
"""Every zone's offset from UTC is a multiple of this."""

MOST_GROUP_COLUMNS: Final = 4
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Rolling:
    """The last `duration_us`, whenever asked."""

    duration_us: int

    def period(self, at_us: int) -> Period:
        """Return the time that ends with an instant."""
        return Period(at_us - self.duration_us, at_us)

    def promised(self) -> str:
        """Return `over 30d`."""
        return f"over {written(self.duration_us)}"

    def adjective(self) -> str:
        """Return `30-day`, `12h`."""
        days, rest = divmod(self.duration_us, MICROS_PER_DAY)
        return written(self.duration_us) if rest else f"{days}-day"

    def content(self) -> object:
        """Return what a version of an objective depends on, as JSON has it."""
        return ["rolling", self.duration_us]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A promise to requests, checked when it is made: one that exists can be judged.

    `selector` narrows the requests to those whose text column has the given word; `group_by`
    judges each combination of text columns by itself, under one definition. `policy` names
    an entry of `slo.pairs.POLICIES`; the default is the usual one for the window. `guess`
    marks an objective that nobody chose. Raises `ObjectiveError` for what cannot be judged:
    a target outside (0, 1), an unknown column, alerts that could never fire.
    """

    name: str
    indicator: Indicator
    target: Decimal
    window: Rolling | Calendar = Rolling(LONGEST_PERIOD_US)
    budgeting: Budgeting = OCCURRENCES
    selector: tuple[tuple[str, str], ...] = ()
    group_by: tuple[str, ...] = ()
    policy: str = ""
    display_name: str = ""
    description: str = ""
    guess: bool = False
    version: str = field(init=False)
    """A hash of all that a verdict depends on; texts for people are not part of it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "policy", self.policy or usual_policy(self.window.duration_us))
        object.__setattr__(self, "display_name", self.display_name or self.name)
        for check in _CHECKS:
            check(self)
        object.__setattr__(self, "version", _version(self))

    @property
    def period_us(self) -> int:
        """How long its budget lasts; of a calendar the nominal length, a month being 30 days."""
        return self.window.duration_us

    @property
    def budget(self) -> Fraction:
        """The share of requests, or of slices, that may be bad: 1 - target, exactly."""
        return 1 - Fraction(self.target)

    @property
    def alerts(self) -> Policy:
        """The burn alerts it asks for."""
        return POLICIES[self.policy]

    @property
    def windows_us(self) -> tuple[int, ...]:
        """Every window it is measured over, shortest first; the last is its period.

        That of a calendar objective stands for the running period, and is named by its nominal length.
        """
        kept = {window for window in ALWAYS_KEPT_US if window < self.period_us and self._holds_slices(window)}
        return tuple(sorted({*self.paired_us, *kept, self.period_us}))

    @property
    def paired_us(self) -> tuple[int, ...]:
        """The windows that its alerts compare."""
        return tuple(window for pair in self.alerts.pairs for window in (pair.long_us, pair.short_us))

    def _holds_slices(self, window_us: int) -> bool:
        return window_us % (self.budgeting.slice_us or MICROS_PER_MINUTE) == 0

    def window_name(self, window_us: int) -> str:
        """Return what one of its windows is called: `1h`, `30d`; `monthly` for a running calendar period."""
        if isinstance(self.window, Calendar) and window_us == self.period_us:
            return self.window.adjective()
        return written(window_us)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of its table that judging it reads."""
        named = (column for column, _ in self.selector)
        time = TABLE[self.indicator.table].time_column
        return tuple(dict.fromkeys((time, *self.indicator.reads(), *named, *self.group_by)))

    def error_ratio(self, pair: Pair) -> Fraction:
        """Return the share of bad requests above which a pair fires: factor x (1 - target)."""
        return pair.factor(self.period_us) * self.budget

    @property
    def thresholds(self) -> Hashable:
        """What decides, with the counts of its windows, whether its alerts fire: equal ones decide alike."""
        return self.policy, self.period_us, self.target, self.budgeting.scale

    def silent_pairs(self) -> tuple[Pair, ...]:
        """Return the pairs that even a total outage cannot fire; `why_silent` says why."""
        return tuple(pair for pair in self.alerts.pairs if self.why_silent(pair))

    def why_silent(self, pair: Pair) -> str:
        """Return why no outage can fire a pair, '' for one that can be fired.

        The target allows too many bad ones, or the few slices of its long window, all of them bad,
        would be no proof (`slo.significance`).
        """
        ratio, slice_us = self.error_ratio(pair), self.budgeting.slice_us
        if ratio >= 1:
            most, factor = float(1 / self.budget), float(pair.factor(self.period_us))
            return (
                f"with every request bad the budget burns {most:g}x too fast, "
                f"and it takes more than {factor:g}x"
            )
        slices = pair.long_us // slice_us if slice_us else self.alerts.few(ratio)
        if slices < self.alerts.few(ratio) and ratio**slices >= RISK:
            return (
                f"that all {slices} slices of {written(pair.long_us)} are bad "
                f"does not prove more than {float(ratio):.1%} of them to be"
            )
        return ""

    def sentence(self) -> str:
        """Return what is promised: `99.9 % of requests: first token within 2s, over 30d`."""
        share = f"{percent(self.target)} of {self.budgeting.share_of(self.indicator.unit)}"
        return f"{share}: {self.indicator.promise()}, {self.window.promised()}"


def _check_name(objective: Objective) -> None:
    if not _NAME.fullmatch(objective.name):
        cause = f"{objective.name!r} is not a name"
        raise ObjectiveError("name", cause, "use at most 63 of a-z, 0-9 and -, not - at an end")


def _check_target(objective: Objective) -> None:
    target = objective.target
    if not target.is_finite() or not 0 < target < 1:
        hint = "write a ratio such as 0.999; 1 would leave no budget to burn"
        raise ObjectiveError("target", f"{target} is not between 0 and 1", hint)
    if target.as_tuple().exponent < -12:  # type: ignore[operator]  # finite: an integer
        raise ObjectiveError("target", f"{target} has over 12 decimals", "write it shorter")


def _check_window(objective: Objective) -> None:
    period_us = objective.period_us
    if isinstance(objective.window, Calendar):
        return
    if not 0 < period_us <= LONGEST_PERIOD_US or period_us % MICROS_PER_MINUTE:
        cause = f"{written(period_us)} is not a window of whole minutes up to 30d"
        raise ObjectiveError("window", cause, "write 30d, 28d or 7d, or a calendar window")


def _check_slices(objective: Objective) -> None:
    slice_us = objective.budgeting.slice_us
    if slice_us is None:
        return
    if isinstance(objective.window, Calendar):
        begins_us = objective.window.start.minute * MICROS_PER_MINUTE
        if OFFSET_US % slice_us or begins_us % slice_us:
            cause = f"a slice of {written(slice_us)} could lie across the edge of a calendar period"
            raise ObjectiveError("budgeting", cause, "use slices of 1m, 5m or 15m, and a start on one's edge")
    windows = (objective.period_us, *objective.paired_us)
    for window_us in windows:
        if window_us % slice_us:
            cause = f"{written(window_us)} does not hold whole slices of {written(slice_us)}"
            hint = "use slices of 1m or 5m, or alert policy tickets or none"
            raise ObjectiveError("budgeting", cause, hint)


def _check_columns(objective: Objective) -> None:
    table = TABLE[objective.indicator.table]
    texts = {column.name for column in table.columns if column.kind is Kind.TEXT}
    named = (
        ("selector", tuple(column for column, _ in objective.selector)),
        ("group_by", objective.group_by),
    )
    for subject, columns in named:
        for column in columns:
            if column not in texts:
                hint = "use model, tenant, pool, replica, route, region or another text column"
                raise ObjectiveError(subject, f"{table.name} has no text column {column!r}", hint)
        if len(set(columns)) != len(columns):
            raise ObjectiveError(subject, "a column is named twice", "name each column once")
    if len(objective.group_by) > MOST_GROUP_COLUMNS:
        raise ObjectiveError("group_by", f"over {MOST_GROUP_COLUMNS} columns", "group by fewer")


def _check_alerts(objective: Objective) -> None:
    if objective.policy not in POLICIES:
        hint = f"use one of {', '.join(POLICIES)}"
        raise ObjectiveError("policy", f"no alert policy is called {objective.policy!r}", hint)
    pairs, silent = objective.alerts.pairs, objective.silent_pairs()
    for pair in pairs:
        if pair.long_us >= objective.period_us:
            cause = f"{objective.policy} looks back {written(pair.long_us)}, the window is no longer"
            raise ObjectiveError("policy", cause, "lengthen the window or use policy none")
    for severity in Severity:
        asked = [pair for pair in pairs if pair.severity is severity]
        if asked and all(pair in silent for pair in asked):
            raise _never(objective, min(asked, key=objective.error_ratio))


_CHECKS: Final = (_check_name, _check_target, _check_window, _check_columns, _check_alerts, _check_slices)


def _never(objective: Objective, easiest: Pair) -> ObjectiveError:
    cause = f"no {easiest.severity} could ever fire: {objective.why_silent(easiest)}"
    return ObjectiveError("target", cause, "raise the target, or use alert policy tickets or none")


def _version(objective: Objective) -> str:
    indicator = objective.indicator
    content = {
        "name": objective.name,
        "indicator": indicator.kind,
        "parameters": {
            parameter.name: getattr(indicator, parameter.name)
            for parameter in dataclasses.fields(indicator)  # type: ignore[arg-type]
        },
        "target": f"{objective.target.normalize():f}",
        "window": objective.window.content(),
        "budgeting": objective.budgeting.content(),
        "selector": sorted(objective.selector),
        "group_by": objective.group_by,
        "policy": objective.policy,
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
