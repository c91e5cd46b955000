"""Prometheus rules of a promise: the groups, names and labels of Sloth, with exact figures.

Two things are not as Sloth has them. The ratio over the whole period is a ratio of sums, as over
every other window; the mean of five-minute ratios weighs a quiet night like a busy day. Budgets
and thresholds are the exact decimals (0.0144), not products of rounded ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Final

from service.objectives.languages.durations import prometheus_duration
from service.objectives.languages.service_level import Alert, ServiceLevel
from service.objectives.languages.trees import Plain
from slo.durations import MICROS_PER_DAY
from slo.pairs import Pair
from telemetry.units import MICROS_PER_MINUTE

_RATIO: Final = "slo:sli_error:ratio_rate"
_BUDGET: Final = "slo:error_budget:ratio"
_CURRENT_US: Final = 5 * MICROS_PER_MINUTE
_WHO: Final = "{{$labels.sloth_service}} {{$labels.sloth_slo}}"
_SUMMARY: Final = f"{_WHO} SLO error budget burn rate is over expected."
_TITLE: Final = f"{_WHO} SLO error budget burn rate is too fast."


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rules to write, labels added to every record, and the version to sign them with."""

    recordings: bool = True
    alerts: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    version: str = "inferometer"


def rule_file(levels: Iterable[ServiceLevel], wanted: Wanted) -> Plain:
    """Return a file of rules that Prometheus loads."""
    groups: list[Plain] = [group for level in levels for group in _groups(level, wanted)]
    return {"groups": groups}


def exact(number: Fraction | Decimal) -> str:
    """Return a number as the decimal it is; a fraction that has none as its nearest double."""
    value = Fraction(number)
    twos_and_fives = value.denominator
    for prime in (2, 5):
        while twos_and_fives % prime == 0:
            twos_and_fives //= prime
    if twos_and_fives != 1:
        return repr(float(value))
    text = f"{Decimal(value.numerator) / Decimal(value.denominator):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _groups(level: ServiceLevel, wanted: Wanted) -> list[Plain]:
    labels = {
        **level.labels,
        **wanted.labels,
        "sloth_id": level.id,
        "sloth_service": level.service,
        "sloth_slo": level.name,
    }
    kinds: list[tuple[str, bool, list[Plain]]] = [
        ("sli-recordings", wanted.recordings, _indicator_rules(level, labels)),
        ("meta-recordings", wanted.recordings, _meta_rules(level, labels, wanted.version)),
        ("alerts", wanted.alerts, [rule for alert in level.alerts for rule in _alert_rules(level, alert)]),
    ]
    return [
        {"name": f"sloth-slo-{kind}-{level.id}", "rules": rules}
        for kind, asked, rules in kinds
        if asked and rules
    ]


def _indicator_rules(level: ServiceLevel, labels: Mapping[str, str]) -> list[Plain]:
    windows = dict.fromkeys((*sorted({_CURRENT_US, *level.windows_us}), level.period_us))
    names = [prometheus_duration(window_us) for window_us in windows]
    return [
        _record(_RATIO + window, level.query.error_ratio(window), {**labels, "sloth_window": window})
        for window in names
    ]


def _meta_rules(level: ServiceLevel, labels: Mapping[str, str], version: str) -> list[Plain]:
    chosen = _chosen(level)
    current, period = (prometheus_duration(each) for each in (_CURRENT_US, level.period_us))
    keys = "sloth_id, sloth_slo, sloth_service"
    burning = "{ratio}{chosen}\n/ on({keys}) group_left\n{budget}{chosen}"
    told = {"chosen": chosen, "keys": keys, "budget": _BUDGET}
    expressions = {
        "slo:objective:ratio": f"vector({exact(level.target)})",
        _BUDGET: f"vector({exact(level.budget)})",
        "slo:time_period:days": f"vector({exact(Fraction(level.period_us, MICROS_PER_DAY))})",
        "slo:current_burn_rate:ratio": burning.format(ratio=_RATIO + current, **told),
        "slo:period_burn_rate:ratio": burning.format(ratio=_RATIO + period, **told),
        "slo:period_error_budget_remaining:ratio": f"1 - slo:period_burn_rate:ratio{chosen}",
    }
    info = {
        "sloth_mode": level.origin.mode,
        "sloth_objective": exact(level.target * 100),
        "sloth_spec": level.origin.spec,
        "sloth_version": version,
    }
    records = [_record(name, expression, labels) for name, expression in expressions.items()]
    return [*records, _record("sloth_slo_info", "vector(1)", {**labels, **info})]


def _alert_rules(level: ServiceLevel, alert: Alert) -> list[Plain]:
    """Return the rule of an alert; none if no pair of windows is of its severity."""
    burning = [_burning(level, pair) for pair in level.pairs if pair.severity is alert.severity]
    labels = {**alert.labels, "sloth_severity": str(alert.severity)}
    said = {"summary": _SUMMARY, "title": f"({alert.severity}) {_TITLE}", **alert.annotations}
    rule: Plain = {
        "alert": alert.name,
        "expr": "\nor\n".join(burning),
        "labels": dict[str, Plain](labels),
        "annotations": dict[str, Plain](said),
    }
    return [rule] if burning else []


def _burning(level: ServiceLevel, pair: Pair) -> str:
    """Return that the budget burns too fast over the long window and still does over the short one."""
    limit, chosen = exact(level.error_ratio(pair)), _chosen(level)
    sides = [
        f"    max({_RATIO}{prometheus_duration(window_us)}{chosen} > {limit}) without (sloth_window)"
        for window_us in (pair.short_us, pair.long_us)
    ]
    return "(\n" + "\n    and\n".join(sides) + "\n)"


def _chosen(level: ServiceLevel) -> str:
    return f'{{sloth_id="{level.id}", sloth_service="{level.service}", sloth_slo="{level.name}"}}'


def _record(name: str, expression: str, labels: Mapping[str, str]) -> Plain:
    return {"record": name, "expr": expression, "labels": dict(labels)}
