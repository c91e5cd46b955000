"""A correction as it is asked for, by a file, the API or the command line: what, when, why."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from service.objectives.mistakes import suggestion
from service.objectives.periods import local_time, zone_name
from service.objectives.recurrence import Recurrence
from service.objectives.section import NotThatError, Section
from service.objectives.words import duration
from service.store.corrections import StoredCorrection
from slo.corrections import Excluded
from slo.durations import written

API_VERSION: Final = "inferometer/v1"
KIND: Final = "Correction"
LONGEST_NAME: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedCorrection:
    """What is to be left out of the counting of some objectives (none named = of all), and why."""

    objectives: tuple[str, ...]
    excluded: Excluded
    when: Recurrence
    why: str

    def sentence(self) -> str:
        """Return what is left out: `all requests of chat-ttft, 2026-01-04 02:00 Europe/Berlin for 2h, …`."""
        whose = ", ".join(self.objectives) or "every objective"
        start = self.when.start.isoformat(sep=" ", timespec="minutes")
        times = f"{start} {self.when.zone} for {written(self.when.duration_us)}"
        rule = f", {self.when.rule}" if self.when.rule else ""
        return f"{self.excluded} requests of {whose} are left out, {times}{rule}: {self.why}"

    def stored(self, correction_id: str, *, by: str, at_us: int, source: str = "") -> StoredCorrection:
        """Return it as a row that nobody has ended."""
        return StoredCorrection(
            id=correction_id,
            objectives=self.objectives,
            excluded=self.excluded,
            start=self.when.start.isoformat(sep=" ", timespec="minutes"),
            zone=self.when.zone,
            duration_us=self.when.duration_us,
            rule=self.when.rule,
            why=self.why,
            source=source,
            created_by=by,
            created_at_us=at_us,
        )


@dataclass(frozen=True, slots=True)
class NamedCorrection:
    """A correction that a file asks for, under a name."""

    name: str
    asked: AskedCorrection

    @property
    def id(self) -> str:
        """A name for exactly this: another time or another reason is another correction."""
        text = repr(replace(self.asked, objectives=tuple(sorted(self.asked.objectives))))
        return f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def when_of(stored: StoredCorrection) -> Recurrence:
    """Return the times of a stored correction, as if nobody had ended it."""
    return Recurrence(
        start=datetime.fromisoformat(stored.start),
        zone=stored.zone,
        duration_us=stored.duration_us,
        rule=stored.rule,
    )


def excluded(text: str) -> Excluded:
    """Return what is left out; raises `NotThatError`."""
    if text not in list(Excluded):
        raise NotThatError(f"{text!r} cannot be excluded", suggestion(text, tuple(Excluded)))
    return Excluded(text)


def correction(document: Section) -> NamedCorrection | None:
    """Read one `kind: Correction` document; None, with every mistake noted, when it is none."""
    before = len(document.notes.mistakes)
    document.only("apiVersion", "kind", "metadata", "spec")
    if document.text("apiVersion") not in (None, API_VERSION):
        document.wrong("apiVersion", "a Correction is of this program alone", f"write {API_VERSION}")
    metadata, spec = document.section("metadata"), document.section("spec")
    name = None
    if metadata is not None:
        metadata.only("name")
        name = metadata.text("name")
        if name is not None and len(name) > LONGEST_NAME:
            metadata.wrong("name", f"a name of over {LONGEST_NAME} characters", "write it shorter")
    asked = None if spec is None else _spec(spec)
    if name is None or asked is None or len(document.notes.mistakes) > before:
        return None
    return NamedCorrection(name, asked)


def _spec(spec: Section) -> AskedCorrection | None:
    spec.only("objectives", "exclude", "start", "timeZone", "duration", "rrule", "why")
    start, length_us = spec.read("start", local_time), spec.read("duration", duration)
    zone = spec.read("timeZone", zone_name, required=False) if spec.has("timeZone") else "UTC"
    rule = spec.text("rrule", required=False) or ""
    left_out = spec.read("exclude", excluded, required=False) or Excluded.ALL
    why = spec.text("why")
    objectives = tuple(name for name, _ in spec.words("objectives"))
    if start is None or length_us is None or zone is None or why is None:
        return None
    try:
        when = Recurrence(start=start, zone=zone, duration_us=length_us, rule=rule)
    except NotThatError as error:
        spec.wrong("rrule" if rule else "duration", error.cause, error.hint)
        return None
    return AskedCorrection(objectives=objectives, excluded=left_out, when=when, why=why)
