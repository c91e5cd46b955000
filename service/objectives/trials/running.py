"""Plays unit tests through the live engine: ring, verdicts, conditions and the alert state machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np

from alerts.state import Alert, AlertState, Policy, step
from service.objectives.mistakes import Mistake
from service.objectives.trials.reading import NO_DATA
from service.objectives.trials.trial import Expected, ExpectedValue, Firing, Trial
from service.objectives.words import number
from slo.cells import Cells
from slo.conditions import conditions, times
from slo.durations import written
from slo.evaluate import Judgement, Verdict, judge
from slo.objective import Objective
from slo.ring import Ring
from telemetry.condition import Severity
from telemetry.units import MICROS_PER_MINUTE


class _Feed:
    """Counts in the order of time, handed out as it passes."""

    def __init__(self, cells: Cells) -> None:
        order = np.argsort(cells.bucket, kind="stable")
        self._group, self._bucket, self._good, self._total = (
            column[order] for column in (cells.group, cells.bucket, cells.good, cells.total)
        )
        self._keys, self._told = cells.keys, 0

    def until(self, now_us: int) -> Cells:
        """Return what came since the last call."""
        end = int(np.searchsorted(self._bucket, now_us // MICROS_PER_MINUTE))
        rows, self._told = slice(self._told, end), max(end, self._told)
        if rows.start >= end:
            return Cells.empty()
        return Cells.of(
            self._keys,
            group=self._group[rows],
            bucket=self._bucket[rows],
            good=self._good[rows],
            total=self._total[rows],
        )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What stood at an instant."""

    firing: frozenset[Firing]
    judgement: Judgement

    def verdict(self, group: tuple[str, ...]) -> Verdict | None:
        """Return the verdict on a group; None for one of which nothing was counted."""
        keys = self.judgement.counts.keys
        return self.judgement.verdict(keys.index(group)) if group in keys else None


def differences(trial: Trial, file: str) -> list[Mistake]:
    """Return where a test did not come out as expected, in the order of the file; empty = it passed."""
    objectives = {each.objective.name: each.objective for each in trial.expected}
    seen = {name: _played(trial, objective) for name, objective in objectives.items()}
    found = [*_of_alerts(trial, seen, file), *_of_values(trial, seen, file)]
    return sorted(found, key=lambda each: each.place)


def _played(trial: Trial, objective: Objective) -> dict[int, _Seen]:
    """Return what stood at each instant that is asked about, judging every step until then."""
    asked = {each.at_us for each in trial.expected if each.objective is objective}
    ring = Ring.of(objective, now_us=trial.start_us)
    feed = _Feed(trial.cells[objective.name])
    standing: dict[str, Alert] = {}
    seen = {}
    for now_us in sorted(asked | set(range(trial.start_us + trial.step_us, max(asked), trial.step_us))):
        ring.advance(now_us - 1)
        ring.add(feed.until(now_us))
        judgement = judge(objective, ring.counts())
        for condition in conditions(judgement, ring.first_bad_us):
            key = str(sorted(condition.labels.items()))
            standing[key] = step(standing.get(key), condition, now_us, Policy()).alert
        if now_us in asked:
            seen[now_us] = _Seen(_firing(standing, objective), judgement)
    return seen


def _firing(standing: Mapping[str, Alert], objective: Objective) -> frozenset[Firing]:
    return frozenset(
        Firing(alert.severity, tuple(alert.labels[column] for column in objective.group_by))
        for alert in standing.values()
        if alert.state is AlertState.FIRING
    )


def _of_alerts(trial: Trial, seen: Mapping[str, dict[int, _Seen]], file: str) -> Iterator[Mistake]:
    for expected in trial.alerts:
        stood = seen[expected.objective.name][expected.at_us]
        if stood.firing != expected.firing:
            cause = (
                f"{_subject(trial, expected)}: expected {_listed(expected.firing, expected.objective)}, "
                f"got {_listed(stood.firing, expected.objective)}"
            )
            yield Mistake(file, expected.place, cause, _burns(expected.firing ^ stood.firing, stood))


def _of_values(trial: Trial, seen: Mapping[str, dict[int, _Seen]], file: str) -> Iterator[Mistake]:
    for expected in trial.values:
        stood = seen[expected.objective.name][expected.at_us]
        got = _value(expected, stood.verdict(expected.group))
        if not _equal(expected.text, got):
            what = expected.what if expected.window_us is None else f"burn over {written(expected.window_us)}"
            cause = f"{_subject(trial, expected)}: expected {what} {expected.text}, got {_said(got)}"
            yield Mistake(file, expected.place, cause, f"group {'/'.join(expected.group) or '(all)'}")


def _value(expected: ExpectedValue, verdict: Verdict | None) -> Fraction | None:
    """Return a value exactly; None = no data."""
    if verdict is None:
        return None
    if expected.what == "budget_left":
        return verdict.budget_remaining
    if expected.window_us is not None:
        return verdict.window(expected.window_us).burn
    return Fraction(getattr(verdict.windows[-1], expected.what))


def _equal(text: str, got: Fraction | None) -> bool:
    """Compare to as many decimals as were written."""
    if text == NO_DATA or got is None:
        return text == NO_DATA and got is None
    wanted = number(text)
    return round(Decimal(got.numerator) / got.denominator, -int(wanted.as_tuple().exponent)) == wanted


def _subject(trial: Trial, expected: Expected) -> str:
    return f"{trial.name}: {expected.objective.name} at {written(expected.at_us - trial.start_us)}"


def _listed(firing: frozenset[Firing], objective: Objective) -> str:
    def told(one: Firing) -> str:
        labels = ", ".join(
            f"{name}: {word}" for name, word in zip(objective.group_by, one.group, strict=True)
        )
        return f"{one.severity.value}{f' {{{labels}}}' if labels else ''}"

    order = list(Severity)
    ranked = sorted(firing, key=lambda one: (order.index(one.severity), one.group))
    return " and ".join(map(told, ranked)) if ranked else "no alert"


def _burns(differing: frozenset[Firing], stood: _Seen) -> str:
    """Return how fast the budget of the first differing group burns."""
    group = min(differing).group
    verdict = stood.verdict(group)
    if verdict is None:
        return f"nothing was counted of {'/'.join(group) or 'any request'}"
    rates = (f"{written(window.window_us)} {times(window.burn)}" for window in verdict.windows[:-1])
    return f"{'/'.join(group) or 'it'} burns {', '.join(rates)}"


def _said(got: Fraction | None) -> str:
    return NO_DATA if got is None else f"{float(got):.9g}"
