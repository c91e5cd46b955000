"""Files taken apart into documents, and OpenSLO documents checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.objectives.files import text_of
from service.objectives.languages.openslo_fields import DOCUMENTS, V1
from service.objectives.languages.shapes import Judge
from service.objectives.languages.sloth_fields import SPECS
from service.objectives.languages.trees import text
from service.objectives.located import Fields, documents
from service.objectives.mistakes import Mistake, Notes, Place, suggestion

_START: Final = Place(1, 1)


@dataclass(frozen=True, slots=True)
class Document:
    """One mapping of a file, and where to note what is wrong with it."""

    fields: Fields
    notes: Notes

    @property
    def version(self) -> str:
        """Its apiVersion, empty if there is none."""
        return text(self.fields, "apiVersion")

    @property
    def kind(self) -> str:
        """Its kind, empty if there is none."""
        return text(self.fields, "kind")

    @property
    def name(self) -> str:
        """The name in its metadata, empty if there is none."""
        return text(self.fields, "metadata", "name")

    def holding(self, fields: Fields) -> Document:
        """Return a document of the same file with other content."""
        return Document(fields, self.notes)

    def wrong(self, place: Place, cause: str, hint: str) -> None:
        """Note a mistake in its file."""
        self.notes.wrong(place, cause, hint)


def read(paths: Sequence[Path], notes: Iterable[Notes]) -> list[Document]:
    """Return the mappings of files, each file's mistakes noted in its own notes; empty ones are skipped."""
    found: list[Document] = []
    for path, noted in zip(paths, notes, strict=True):
        content = text_of(path, noted)
        for value in documents(content, noted) if content is not None else ():
            if isinstance(value, Fields):
                found.append(Document(value, noted))
            elif text(value) or not hasattr(value, "null"):
                noted.wrong(value.place, "a document must be a mapping", "begin it with apiVersion:")
        if content is not None and not noted.mistakes and not any(each.notes is noted for each in found):
            noted.wrong(_START, "the file holds no document", "see docs/slo-convert.md for an example")
    return found


def check_openslo(document: Document) -> bool:
    """Note all that is wrong with an OpenSLO document; tell whether nothing is."""
    before = len(document.notes.mistakes)
    kinds = DOCUMENTS.get(document.version)
    if kinds is None:
        document.wrong(
            _place(document, "apiVersion"), f"{document.version!r} is not OpenSLO", _meant(document)
        )
    elif document.kind not in kinds:
        cause = f"{document.version} has no kind {document.kind!r}"
        document.wrong(_place(document, "kind"), cause, suggestion(document.kind, tuple(kinds)))
    else:
        judge = Judge(document.notes, document.notes)
        judge.check(document.fields, kinds[document.kind], "", document.fields.place)
    return len(document.notes.mistakes) == before


def _meant(document: Document) -> str:
    if document.version in SPECS or text(document.fields, "version") in SPECS:
        return "it is a spec of Sloth: convert it --from sloth"
    return suggestion(document.version, tuple(DOCUMENTS)) if document.version else f"write {V1}"


def sorted_mistakes(notes: Iterable[Notes]) -> list[Mistake]:
    """Return the mistakes of every file, in the order of files and places."""
    return [each for noted in notes for each in sorted(noted.mistakes, key=lambda mistake: mistake.place)]


def _place(document: Document, name: str) -> Place:
    return document.fields.places.get(name, document.fields.place)
