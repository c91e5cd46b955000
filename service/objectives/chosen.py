"""The objectives in force: the operator's files, or the starters when there are none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.objectives.files import read, starter
from service.store.objectives import StoredObjective
from slo.objective import Objective

STARTER: Final = "starter objectives (guesses)"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Objectives, and the file each came from."""

    objectives: tuple[Objective, ...]
    sources: Mapping[str, str]

    def stored(self) -> list[StoredObjective]:
        """Return the objectives as rows; the store keeps since when each version holds."""
        return [
            StoredObjective(
                name=each.name,
                version=each.version,
                spec=json.dumps({"sentence": each.sentence(), "group_by": each.group_by}),
                source=self.sources[each.name],
                valid_from_us=0,
            )
            for each in self.objectives
        ]


def chosen(paths: Sequence[Path]) -> Chosen:
    """Return the objectives of files and folders; the starters when no path is given.

    Raises `ObjectiveFileError` with every mistake of the first path that has any.
    """
    if not paths:
        objectives = starter()
        return Chosen(objectives, {each.name: STARTER for each in objectives})
    found: dict[str, Objective] = {}
    sources: dict[str, str] = {}
    for path in paths:
        for each in read(path):
            found[each.name] = each
            sources[each.name] = str(path)
    return Chosen(tuple(found.values()), sources)
