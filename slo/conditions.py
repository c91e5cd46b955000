"""A judged objective in the words of alerts: one condition for each group and severity."""

from __future__ import annotations

from collections.abc import Callable, Collection
from fractions import Fraction

import numpy as np

from slo.burn import UNKNOWN, YES, Answers
from slo.cells import UNKNOWN_WORD, Key
from slo.durations import written
from slo.evaluate import HOLDS, Judgement, Verdict, WindowVerdict
from slo.objective import Objective
from slo.pairs import Pair
from telemetry.condition import Condition, Severity
from telemetry.identity import OTHER_TENANT

FirstBad = Callable[[Key, int], int | None]
"""Return the first bad fact of a group in the last so many microseconds: `Ring.first_bad_us`."""


def conditions(
    judgement: Judgement, first_bad: FirstBad, *, standing: Collection[Key] | None = None
) -> list[Condition]:
    """Return a condition for each group and each severity that the objective alerts on.

    It holds while a pair of that severity fires, and is unknown while no pair fires and one
    cannot be told for want of traffic. Only a condition that holds is explained at length.
    `standing` are the groups of which an alert stands: of the others only what holds is returned,
    which spares thousands that are well. None = of every group.
    """
    asked = {pair.severity for pair in judgement.objective.alerts.pairs}
    return [
        _condition(judgement, group, severity=severity, answer=answers[group], first_bad=first_bad)
        for severity in Severity
        if severity in asked
        for answers in (judgement.holds(severity),)
        for group in _groups(judgement, answers, standing)
    ]


def _groups(judgement: Judgement, answers: Answers, standing: Collection[Key] | None) -> list[int]:
    """Return the groups that something is to be said of."""
    told = np.full(len(answers), standing is None) | (answers == YES)
    if standing:
        told |= np.fromiter(map(standing.__contains__, judgement.counts.keys), np.bool_, len(answers))
    groups: list[int] = np.flatnonzero(told).tolist()
    return groups


def _condition(
    judgement: Judgement, group: int, *, severity: Severity, answer: int, first_bad: FirstBad
) -> Condition:
    objective, key = judgement.objective, judgement.counts.keys[group]
    pair = judgement.firing(group, severity) if answer == YES else None
    named = dict(zip(objective.group_by, key, strict=True))
    return Condition(
        name=objective.name,
        labels={"objective": objective.name, "severity": severity.value, **named},
        severity=severity,
        holds=HOLDS[int(answer)],
        since_us=first_bad(key, pair.short_us) if pair else None,
        annotations=_annotations(judgement, group, answer=answer, pair=pair),
    )


def _annotations(judgement: Judgement, group: int, *, answer: int, pair: Pair | None) -> dict[str, str]:
    if answer == UNKNOWN:
        return {"summary": f"{subject(judgement.objective, judgement.counts.keys[group])}: no data"}
    if pair is None:
        return {}
    verdict = judgement.verdict(group)
    long = verdict.window(pair.long_us)
    return {
        "summary": summary(verdict, pair),
        "promise": verdict.objective.sentence(),
        "description": (
            f"{counted(verdict.objective, long)} of the last {written(pair.long_us)} "
            f"broke the promise; a {pair.severity} is due above "
            f"{times(pair.factor(verdict.objective.period_us))} over {written(pair.long_us)} "
            f"and {written(pair.short_us)}"
        ),
    }


def summary(verdict: Verdict, pair: Pair) -> str:
    """Return the sentence a person is woken with: what burns, how fast, what is left."""
    objective = verdict.objective
    long, short = verdict.window(pair.long_us), verdict.window(pair.short_us)
    rates = ", ".join(f"{written(each.window_us)} {times(each.burn)}" for each in (short, long))
    return (
        f"{subject(objective, verdict.group)} burns its {period(objective)} budget "
        f"{times(long.burn)} too fast: {rates}; {left(verdict.budget_remaining)}"
    )


def subject(objective: Objective, key: Key) -> str:
    """Return what is judged: `TTFT of chat/acme`, `TTFT of chat/unknown tenant`, or what is past the cap."""
    if not key:
        return objective.display_name
    if set(key) == {OTHER_TENANT}:
        return f"{objective.display_name} of all groups past the cap together"
    said = [
        f"unknown {name}" if word == UNKNOWN_WORD else word
        for name, word in zip(objective.group_by, key, strict=True)
    ]
    return f"{objective.display_name} of {'/'.join(said)}"


def counted(objective: Objective, window: WindowVerdict) -> str:
    """Return how much of a window was bad: `144 of 10,000 requests`, `3 of 60 slices`."""
    return objective.budgeting.told(window.total - window.good, window.total, objective.indicator.unit)


def period(objective: Objective) -> str:
    """Return the period as an adjective: `30-day`, `12h`, `monthly`."""
    return objective.window.adjective()


def times(burn: Fraction | None) -> str:
    """Return a burn rate for people: `22x`, `1.4x`; `no data` without traffic."""
    if burn is None:
        return "no data"
    return f"{float(burn):.0f}x" if burn >= 20 else f"{float(burn):.3g}x"


def left(remaining: Fraction | None) -> str:
    """Return the budget left for people: `61 % left`, `overspent 2.4x`; `no data` without traffic."""
    if remaining is None:
        return "no data"
    if remaining < 0:
        return f"budget overspent {times(1 - remaining)}"
    return f"{float(remaining * 100):.3g} % left"
