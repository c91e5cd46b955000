"""The door: files of one language in, one text of another out, or every mistake at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from service.objectives.languages import from_openslo, sloth
from service.objectives.languages.documents import Document, check_openslo, read, sorted_mistakes
from service.objectives.languages.durations import prometheus_duration
from service.objectives.languages.from_sloth import slo_document
from service.objectives.languages.openslo_fields import V1, V2ALPHA
from service.objectives.languages.references import SLI, Inliner, standing_alone
from service.objectives.languages.rules import Wanted, rule_file
from service.objectives.languages.service_level import ServiceLevel
from service.objectives.languages.trees import Plain, plain
from service.objectives.languages.versions import converted
from service.objectives.languages.windows import USUAL_PERIOD_US, Windows, read_windows, usual
from service.objectives.languages.writing import written
from service.objectives.mistakes import Mistake, Notes, ObjectiveFileError, Place


class Source(StrEnum):
    """The languages that are read."""

    OPENSLO = "openslo"
    SLOTH = "sloth"


class Target(StrEnum):
    """The languages that are written; plain `openslo` is the version that came in, v1 for Sloth."""

    OPENSLO = "openslo"
    OPENSLO_V1 = "openslo/v1"
    OPENSLO_V2ALPHA = "openslo/v2alpha"
    PROMETHEUS = "prometheus"


_VERSIONS: Final = {Target.OPENSLO_V1: V1, Target.OPENSLO_V2ALPHA: V2ALPHA}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to convert to what.

    `inline` resolves every reference. `period_us` is the budget's period where a spec gives none
    (None: that of `windows`, else 30 days); `windows` is a Sloth AlertWindows file.
    """

    source: Source
    target: Target
    inline: bool = False
    period_us: int | None = None
    windows: Path | None = None
    wanted: Wanted = field(default_factory=Wanted)


@dataclass(frozen=True, slots=True)
class Converted:
    """The YAML text, and the fields of the input that have no meaning and were left out."""

    text: str
    ignored: tuple[Mistake, ...]


def convert(paths: Sequence[Path], asked: Asked) -> Converted:
    """Return files converted; raises `ObjectiveFileError` with every mistake of every file."""
    notes = [Notes(str(path)) for path in paths]
    unknown = [Notes(str(path)) for path in paths]
    extra = Notes(str(asked.windows))
    windows = _windows(asked, extra)
    documents = read(paths, notes)
    ignored = {id(noted): other for noted, other in zip(notes, unknown, strict=True)}
    if asked.source is Source.SLOTH:
        found = [
            (document, level)
            for document in documents
            for level in sloth.levels(document, windows, ignored[id(document.notes)])
        ]
        sloth.refuse_duplicates(found)
        values = _from_sloth(found, asked)
    else:
        values = _from_openslo(documents, asked, windows)
    if mistakes := sorted_mistakes([extra, *notes]):
        raise ObjectiveFileError(mistakes)
    return Converted(written(values), tuple(sorted_mistakes(unknown)))


def _windows(asked: Asked, notes: Notes) -> Windows:
    period_us = asked.period_us or USUAL_PERIOD_US
    if asked.windows is None:
        return usual(period_us)
    given = read_windows(asked.windows, notes)
    if given is None:
        return usual(period_us)
    if asked.period_us not in (None, given.period_us):
        is_of, asks = (prometheus_duration(each) for each in (given.period_us, period_us))
        cause = f"the windows are for {is_of}, the conversion is for {asks}"
        notes.wrong(Place(1, 1), cause, "leave --period out, or give the windows of that period")
    return given


def _from_sloth(found: Sequence[tuple[Document, ServiceLevel]], asked: Asked) -> list[Plain]:
    if asked.target is Target.PROMETHEUS:
        return [rule_file([level for _, level in found], asked.wanted)]
    documents = [slo_document(document, level) for document, level in found]
    return _plain(converted(documents, _VERSIONS.get(asked.target, V1)))


def _from_openslo(documents: Sequence[Document], asked: Asked, windows: Windows) -> list[Plain]:
    rules = asked.target is Target.PROMETHEUS
    version = V1 if rules else _VERSIONS.get(asked.target)
    checked = [(document, check_openslo(document)) for document in documents]
    sound, unsound = (
        [document for document, is_sound in checked if is_sound is asked_for] for asked_for in (True, False)
    )
    before = _count(documents)
    current = sound if version is None else converted(sound, version)
    if _count(documents) > before:
        return []  # what is wrong in the new version would be told again by every later step
    if not rules and not asked.inline:
        return _plain(standing_alone(current))
    whole = Inliner([*current, *unsound], kinds=[SLI] if rules else []).inlined(current)
    if not rules:
        return _plain(whole)
    found = [(document, level) for document in whole for level in from_openslo.levels(document, windows)]
    sloth.refuse_duplicates(found)
    return [rule_file([level for _, level in found], asked.wanted)]


def _count(documents: Sequence[Document]) -> int:
    """Return how many mistakes the files of some documents have so far."""
    return sum(len(noted.mistakes) for noted in {id(each.notes): each.notes for each in documents}.values())


def _plain(documents: Sequence[Document]) -> list[Plain]:
    return [plain(document.fields) for document in documents]
