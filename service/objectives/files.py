"""Files of objectives: `read` the user's, or the `starter` set when there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from service.objectives.corrections import KIND, NamedCorrection, correction
from service.objectives.located import MAX_BYTES, Fields, Scalar, documents
from service.objectives.mistakes import Mistake, Notes, ObjectiveFileError, Place
from service.objectives.openslo import objective
from service.objectives.section import Section
from slo.objective import Objective

SUFFIXES = (".yaml", ".yml")
_START = Place(1, 1)


@dataclass(frozen=True, slots=True)
class Said:
    """What a file says: objectives, and corrections of them."""

    objectives: tuple[Objective, ...]
    corrections: tuple[NamedCorrection, ...]


def read(path: Path) -> tuple[Objective, ...]:
    """Return the objectives of a file, or of every YAML file in a folder, in order of name.

    Raises `ObjectiveFileError` with every mistake of every file.
    """
    return everything(path).objectives


def everything(path: Path) -> Said:
    """Return the objectives and corrections of a file or folder, as `read` does."""
    objectives: list[Objective] = []
    corrections: list[NamedCorrection] = []
    mistakes: list[Mistake] = []
    seen: dict[str, str] = {}
    for file in yaml_files(path):
        notes = Notes(str(file))
        found = _said(text_of(file, notes), notes, seen)
        objectives += found.objectives
        corrections += found.corrections
        mistakes += notes.mistakes
    if mistakes:
        raise ObjectiveFileError(mistakes)
    return Said(tuple(objectives), tuple(corrections))


def yaml_files(path: Path) -> list[Path]:
    """Return the file itself, or every YAML file in a folder, by name.

    Raises `ObjectiveFileError` for a folder that has none or cannot be read.
    """
    if not path.is_dir():
        return [path]
    try:
        found = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES)
    except OSError as error:
        found, cause = [], f"cannot be read: {error.strerror}"
    else:
        cause = "the folder holds no YAML file"
    if not found:
        hint = f"give a folder with files that end in {' or '.join(SUFFIXES)}"
        raise ObjectiveFileError([Mistake(str(path), _START, cause, hint)])
    return found


def parse(text: str, file: str) -> tuple[Objective, ...]:
    """Return the objectives of a YAML text; `file` is the name its mistakes are told under.

    Raises `ObjectiveFileError` with every mistake.
    """
    return said(text, file).objectives


def said(text: str, file: str) -> Said:
    """Return the objectives and corrections of a YAML text, as `parse` does."""
    notes = Notes(file)
    found = _said(text, notes, {})
    if notes.mistakes:
        raise ObjectiveFileError(notes.mistakes)
    return found


def starter() -> tuple[Objective, ...]:
    """Return the objectives in force until the user has chosen some; all are marked as guesses."""
    name = "starter.yaml"
    return parse(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"), name)


def text_of(file: Path, notes: Notes) -> str | None:
    """Return the text of a file, at most one byte over the limit; None, noted, when it cannot be read."""
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1).decode("utf-8")
    except OSError as error:
        notes.wrong(_START, f"cannot be read: {error.strerror}", "check the path and its permissions")
    except UnicodeDecodeError as error:
        notes.wrong(_START, f"byte {error.start} is not UTF-8", "save the file as UTF-8")
    return None


def _said(text: str | None, notes: Notes, seen: dict[str, str]) -> Said:
    """Return what one text says; `seen` has every name so far and the file it is from."""
    if text is None:
        return Said((), ())
    values = documents(text, notes)
    if not values and not notes.mistakes:
        notes.wrong(_START, "the file holds no objective", "see docs/objectives.md for an example")
    objectives, corrections = [], []
    names: dict[str, dict[str, str]] = {"objectives": seen, "corrections": {}}
    for value in values:
        if not isinstance(value, Fields):
            notes.wrong(value.place, "a document must be a mapping", "begin it with apiVersion: openslo/v1")
            continue
        document = Section(value, "", notes, value.place)
        if _kind(value) == KIND:
            if (asked := correction(document)) is not None:
                corrections.append(asked)
                _once(asked.name, "corrections", document, names)
        elif (made := objective(document)) is not None:
            objectives.append(made)
            _once(made.name, "objectives", document, names)
    notes.mistakes.sort(key=lambda mistake: mistake.place)
    return Said(tuple(objectives), tuple(corrections))


def _kind(value: Fields) -> str:
    kind = value.values.get("kind")
    return kind.text if isinstance(kind, Scalar) else ""


def _once(name: str, what: str, document: Section, names: Mapping[str, dict[str, str]]) -> None:
    """Note a name that was given before."""
    if name in names[what]:
        hint = f"it is also in {names[what][name]}; give each its own name"
        document.wrong(None, f"two {what} are called {name}", hint)
    names[what][name] = document.notes.file
