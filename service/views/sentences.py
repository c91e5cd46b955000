"""The sentences a page opens with, made from the same verdicts and findings the alerts use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from telemetry.units import MICROS_PER_SECOND, NANO

SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}


class Tone(StrEnum):
    """How bad it is, for the eye; the words say the same. Plain = figures without a verdict."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    UNKNOWN = "unknown"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence, and where it is proved: a page's path and filters; no path = on this page."""

    text: str
    path: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the sentence as pages take it."""
        return {"text": self.text, "path": self.path, "filters": dict(self.filters)}


@dataclass(frozen=True, slots=True)
class Opening:
    """What a page says first."""

    tone: Tone
    sentences: Sequence[Sentence]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the overview's opening needs to know, counted by whoever asks."""

    promises: int
    burning: int
    overspent: int
    """Promises whose budget is spent, burning or not."""
    unknown: int
    tone: Tone
    """How the promises stand."""
    causes: Sequence[Sentence]
    """Open findings, worst first."""
    idle_nano_per_hour: int | None
    currency: str
    since_us: int | None
    """Since when all has been well, UTC microseconds; None = not known or not well."""
    now_us: int


def money(nano: int, currency: str) -> str:
    """Return a money amount for a sentence, whole units from 10 upwards."""
    amount = nano / NANO
    sign = SIGNS.get(currency, f"{currency} ")
    if amount >= 10:
        return f"{sign}{amount:,.0f}"
    return f"{sign}{amount:,.2f}" if amount >= 0.01 or not nano else f"{sign}{amount:.6f}"


def age(duration_us: int) -> str:
    """Return a duration in the words of a person: `40 s`, `12 min`, `3 h`, `2 days`."""
    whole = duration_us // MICROS_PER_SECOND
    for limit, size, unit in ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if whole < limit:
            return f"{whole // size} {unit}"
    return f"{whole // 86_400} days"


def duration(seconds: float | None) -> str:
    """Return a latency for a sentence: `84 ms`, `1.2 s`; None is `not measured`."""
    if seconds is None:
        return "not measured"
    return f"{seconds * 1000:,.0f} ms" if seconds < 1 else f"{seconds:,.1f} s"


def share(ratio: float | None) -> str:
    """Return a ratio for a sentence: `42 %`; None is `not measured`."""
    return "not measured" if ratio is None else f"{ratio * 100:.0f} %"


def plural(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun: `1 GPU`, `8 GPUs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def full_stop(text: str) -> str:
    """Return a cause as a sentence: a capital first, a full stop last."""
    text = text.strip()
    first = text if text[:1] != text[:1].lower() or ":" in text.split(" ")[0] else text[:1].upper() + text[1:]
    return first if first.endswith((".", "!", "?")) else f"{first}."


def unheard(newest_us: int | None, now_us: int, stale_after_us: int) -> Opening | None:
    """Return what every page says when there are no facts, or none that are fresh; else None."""
    if newest_us is None:
        said = "No facts have arrived since this service started: an agent or the proxy brings them."
        return Opening(Tone.UNKNOWN, [Sentence(said)])
    silence = now_us - newest_us
    if silence > stale_after_us:
        said = f"Nothing has been heard for {age(silence)}: what follows is old, not well."
        return Opening(Tone.BAD, [Sentence(said)])
    return None


def opening(standing: Standing) -> Opening:
    """Return the tone and the sentences of the overview."""
    sentences = [Sentence(promised(standing), "/objectives"), *standing.causes[:3]]
    if len(standing.causes) > 3:
        sentences.append(Sentence(f"{len(standing.causes) - 3} more findings are open.", "/alerts"))
    if standing.idle_nano_per_hour:
        idle = f"{money(standing.idle_nano_per_hour, standing.currency)} an hour stands idle."
        sentences.append(Sentence(idle, "/cost", {"class": "idle"}))
    return Opening(Tone.BAD if standing.causes else standing.tone, sentences)


def promised(standing: Standing) -> str:
    """Return the sentence about the promises."""
    if not standing.promises:
        return "No promise has been asked of this fleet yet."
    if standing.burning:
        verb = "burns" if standing.burning == 1 else "burn"
        return f"{standing.burning} of {standing.promises} promises {verb} faster than their budget allows."
    if standing.unknown == standing.promises:
        return f"None of {standing.promises} promises has seen a request: no data is not the same as kept."
    if standing.overspent:
        verb = "has spent its" if standing.overspent == 1 else "have spent their"
        return f"No promise burns now, but {standing.overspent} of {standing.promises} {verb} budget."
    since = "" if standing.since_us is None else f" for {age(standing.now_us - standing.since_us)}"
    quiet = f"; {standing.unknown} have no data" if standing.unknown else ""
    return f"All {standing.promises - standing.unknown} promises with traffic are kept{since}{quiet}."
