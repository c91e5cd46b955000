"""The objectives that are asked for: those of files, those given by the API, or the starters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import Final

from service.objectives.files import parse
from service.objectives.rewriting import documents
from service.store.objectives import StoredObjective
from slo.objective import Objective

STARTER: Final = "starter objectives (guesses)"


class Origin(StrEnum):
    """Who says what an objective is; what a file says, only the file can change."""

    FILE = "file"
    API = "api"
    STARTER = "starter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An objective, the document that says so, and where that stands (a path, or who gave it)."""

    objective: Objective
    document: str
    origin: Origin
    source: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """Objectives by name, each with its document. Equal ones ask for the same."""

    written: tuple[Written, ...]

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The objectives alone."""
        return tuple(each.objective for each in self.written)

    def find(self, name: str) -> Written | None:
        """Return the objective of a name; None = there is none."""
        return next((each for each in self.written if each.objective.name == name), None)

    def stored(self) -> list[StoredObjective]:
        """Return the objectives as rows; the store keeps since when each version holds."""
        return [
            StoredObjective(
                name=each.objective.name,
                version=each.objective.version,
                spec=json.dumps(
                    {
                        "sentence": each.objective.sentence(),
                        "group_by": each.objective.group_by,
                        "document": each.document,
                    }
                ),
                source=each.source,
                valid_from_us=0,
            )
            for each in self.written
        ]


def written_in(text: str, *, origin: Origin, source: str) -> tuple[Written, ...]:
    """Return the objectives of a YAML text with their documents.

    Raises `ObjectiveFileError` with every mistake, told under `source`.
    """
    found = parse(text, source)
    texts = documents(text)
    return tuple(
        Written(objective=each, document=texts[each.name], origin=origin, source=source) for each in found
    )


def chosen(of_files: Iterable[Written], of_api: Iterable[Written]) -> Chosen:
    """Return what is asked for together; what a file says goes before what the API was given.

    The starters, marked as guesses, when nobody asks for anything.
    """
    found = {each.objective.name: each for each in (*of_api, *of_files)}
    return Chosen(tuple(found.values()) or starters())


def starters() -> tuple[Written, ...]:
    """Return the objectives in force until somebody asks for some."""
    text = resources.files(__package__).joinpath("starter.yaml").read_text(encoding="utf-8")
    return written_in(text, origin=Origin.STARTER, source=STARTER)
