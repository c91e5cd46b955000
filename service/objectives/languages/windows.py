"""Which windows alert, for a period: the workbook's, or those of a Sloth AlertWindows file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from service.objectives.languages.documents import read
from service.objectives.languages.durations import prometheus_us
from service.objectives.languages.readers import number
from service.objectives.languages.shapes import Judge
from service.objectives.languages.sloth_fields import ALERT_WINDOWS
from service.objectives.languages.trees import at, text
from service.objectives.located import Fields, Value
from service.objectives.mistakes import Notes, Place
from slo.durations import MICROS_PER_DAY
from slo.pairs import POLICIES, Pair, usual_policy
from telemetry.condition import Severity

USUAL_PERIOD_US = 30 * MICROS_PER_DAY


@dataclass(frozen=True, slots=True)
class Windows:
    """The pairs of windows that alert, and the period whose budget their shares are of."""

    period_us: int
    pairs: tuple[Pair, ...]


def usual(period_us: int) -> Windows:
    """Return the workbook's pairs for a period, or their weekly form; none looks back beyond the period."""
    pairs = POLICIES[usual_policy(period_us)].pairs
    return Windows(period_us, tuple(pair for pair in pairs if pair.long_us <= period_us))


def read_windows(path: Path, notes: Notes) -> Windows | None:
    """Return the windows of a Sloth AlertWindows file; None, with every mistake noted, if it has none."""
    found = read([path], [notes])
    judge = Judge(notes, notes)
    for document in found:
        judge.check(document.fields, ALERT_WINDOWS, "", document.fields.place)
    if len(found) > 1:
        notes.wrong(found[1].fields.place, "a file of windows has one document", "keep one")
    if notes.mistakes:
        return None
    spec = at(found[0].fields, "spec")
    pairs = [
        _pair(at(spec, severity, speed), severity, notes)
        for severity in Severity
        for speed in ("quick", "slow")
    ]
    _ordered(pairs, notes, found[0].fields.place)
    return None if notes.mistakes else Windows(prometheus_us(text(spec, "sloPeriod")), tuple(pairs))


def _pair(value: Value | None, severity: Severity, notes: Notes) -> Pair:
    pair = Pair(
        severity=severity,
        long_us=prometheus_us(text(value, "longWindow")),
        short_us=prometheus_us(text(value, "shortWindow")),
        share=Fraction(number(text(value, "errorBudgetPercent"))) / 100,
    )
    if pair.short_us >= pair.long_us and isinstance(value, Fields):
        cause = f"shortWindow {text(value, 'shortWindow')} is not shorter than longWindow"
        notes.wrong(value.places["shortWindow"], cause, "write about a twelfth of the long one")
    return pair


def _ordered(pairs: Sequence[Pair], notes: Notes, place: Place) -> None:
    """Note a quick pair that looks back further than the slow one of its severity."""
    for quick, slow in zip(pairs[::2], pairs[1::2], strict=True):
        if quick.long_us >= slow.long_us:
            notes.wrong(place, f"the quick {quick.severity} looks back as far as the slow one", "swap them")
