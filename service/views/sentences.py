"""The sentence a page opens with, made from the same verdicts and findings the alerts use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from telemetry.units import MICROS_PER_SECOND, NANO

SIGNS = {"USD": "$", "EUR": "€", "GBP": "£"}


class Tone(StrEnum):
    """How bad it is, for the eye; the words say the same."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the opening sentence needs to know, counted by whoever asks."""

    promises: int
    burning: int
    paging: int
    unknown: int
    causes: Sequence[str]
    """Sentences of open findings, worst first."""
    idle_nano_per_hour: int | None
    currency: str
    newest_us: int | None
    now_us: int
    stale_after_us: int
    since_us: int | None
    """Since when all has been well, UTC microseconds; None = not known or not well."""


def money(nano: int, currency: str) -> str:
    """Return a money amount for a sentence, whole units from 10 upwards."""
    amount = nano / NANO
    sign = SIGNS.get(currency, f"{currency} ")
    return f"{sign}{amount:,.0f}" if amount >= 10 else f"{sign}{amount:,.2f}"


def age(duration_us: int) -> str:
    """Return a duration in the words of a person: `40 s`, `12 min`, `3 h`, `2 days`."""
    whole = duration_us // MICROS_PER_SECOND
    for limit, size, unit in ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if whole < limit:
            return f"{whole // size} {unit}"
    return f"{whole // 86_400} days"


def opening(standing: Standing) -> tuple[Tone, list[str]]:
    """Return the tone and the sentences of the overview. No facts and stale facts come first."""
    if standing.newest_us is None:
        return Tone.UNKNOWN, ["No facts have arrived yet.", "An agent or the proxy brings them; see below."]
    silence = standing.now_us - standing.newest_us
    if silence > standing.stale_after_us:
        return Tone.BAD, [f"Nothing has been heard for {age(silence)}: what follows is old, not well."]
    sentences = [_promises(standing), *standing.causes[:3]]
    if standing.idle_nano_per_hour:
        sentences.append(f"{money(standing.idle_nano_per_hour, standing.currency)} an hour stands idle.")
    return _tone(standing), sentences


def _tone(standing: Standing) -> Tone:
    if standing.paging or standing.causes:
        return Tone.BAD
    if standing.burning:
        return Tone.WARN
    return Tone.UNKNOWN if standing.unknown == standing.promises else Tone.GOOD


def _promises(standing: Standing) -> str:
    if not standing.promises:
        return "No promise has been asked of this fleet yet."
    if standing.burning:
        verb = "burns" if standing.burning == 1 else "burn"
        return f"{standing.burning} of {standing.promises} promises {verb} faster than their budget allows."
    if standing.unknown == standing.promises:
        return f"None of {standing.promises} promises has seen a request: no data is not the same as kept."
    since = "" if standing.since_us is None else f" for {age(standing.now_us - standing.since_us)}"
    quiet = f"; {standing.unknown} have no data" if standing.unknown else ""
    return f"All {standing.promises - standing.unknown} promises with traffic are kept{since}{quiet}."
