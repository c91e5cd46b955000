"""What may stand in a document, as data, and the walk that notes whatever may not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from service.objectives.located import Fields, Items, Scalar, Value
from service.objectives.mistakes import Notes, Place, suggestion
from service.objectives.section import NotThatError

Reader = Callable[[str], object]
"""Returns what a text means; raises `NotThatError` when it means nothing."""

LONGEST_TEXT: Final = 65_536
"""Queries are long; nothing is this long."""


@dataclass(frozen=True, slots=True)
class Word:
    """A single value, which its reader must take."""

    reader: Reader = str


@dataclass(frozen=True, slots=True)
class Free:
    """Anything: another system's own words."""


@dataclass(frozen=True, slots=True)
class Named:
    """A mapping of names that the writer chose, each to the same shape."""

    each: Shape
    name: Reader = str


@dataclass(frozen=True, slots=True)
class Many:
    """A list of the same shape, bounded on both sides."""

    each: Shape
    least: int = 0
    most: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A mapping of known keys.

    Of each group of `one_of` exactly one key is given, of each of `rivals` at most one;
    `needs` names the keys that a given key calls for; `also` checks what no table can say.
    """

    fields: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    one_of: tuple[tuple[str, ...], ...] = ()
    rivals: tuple[tuple[str, ...], ...] = ()
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    also: Callable[[Fields, Notes], None] | None = None


Shape = Word | Free | Named | Many | Record


@dataclass(frozen=True, slots=True)
class Judge:
    """Checks values against shapes; keys that nobody knows are noted apart if they are only ignored."""

    notes: Notes
    unknown: Notes

    def check(self, value: Value, shape: Shape, path: str, place: Place) -> None:
        """Note all that is wrong with a value that stands under `path`."""
        match shape:
            case Word():
                self._word(value, shape, path, place)
            case Named():
                self._named(value, shape, path, place)
            case Many():
                self._many(value, shape, path, place)
            case Record():
                self._record(value, shape, path, place)
            case Free():
                pass

    def _word(self, value: Value, shape: Word, path: str, place: Place) -> None:
        if not isinstance(value, Scalar):
            self.notes.wrong(place, f"{path} must be a single value", "write one word or number")
        elif len(value.text) > LONGEST_TEXT:
            self.notes.wrong(place, f"{path} is over {LONGEST_TEXT} characters", "write it shorter")
        else:
            try:
                shape.reader(value.text)
            except NotThatError as error:
                self.notes.wrong(value.place, f"{path}: {error.cause}", error.hint)

    def _named(self, value: Value, shape: Named, path: str, place: Place) -> None:
        if not isinstance(value, Fields):
            self.notes.wrong(place, f"{path} must be a mapping", "write key: value lines below it")
            return
        for name, each in value.values.items():
            self._word(Scalar(value.places[name], name), Word(shape.name), path, value.places[name])
            self.check(each, shape.each, f"{path}.{name}", value.places[name])

    def _many(self, value: Value, shape: Many, path: str, place: Place) -> None:
        if not isinstance(value, Items):
            self.notes.wrong(place, f"{path} must be a list", "begin each entry with a dash")
            return
        if not shape.least <= len(value.values) <= shape.most:
            bounds = f"at least {shape.least}" if len(value.values) < shape.least else f"at most {shape.most}"
            self.notes.wrong(place, f"{path} has {len(value.values)} entries", f"write {bounds}")
        for number, each in enumerate(value.values):
            self.check(each, shape.each, f"{path}[{number}]", each.place)

    def _record(self, value: Value, shape: Record, path: str, place: Place) -> None:
        if not isinstance(value, Fields):
            named = path or "a document"
            self.notes.wrong(place, f"{named} must be a mapping", "write key: value lines below it")
            return
        given = given_in(value)
        for name, each in value.values.items():
            under = f"{path}.{name}" if path else name
            if name not in shape.fields:
                hint = suggestion(name, tuple(shape.fields))
                self.unknown.wrong(value.places[name], f"{under} is not a field", hint)
            elif name in given:
                self.check(each, shape.fields[name], under, value.places[name])
        self._together(given, shape, path, place)
        if shape.also is not None:
            shape.also(value, self.notes)

    def _together(self, given: frozenset[str], shape: Record, path: str, place: Place) -> None:
        """Note keys that are missing beside the given ones, or that exclude each other."""
        called = {name for key in given for name in shape.needs.get(key, ())}
        missing = [name for name in (*shape.required, *sorted(called)) if name not in given]
        for name in missing:
            under = f"{path}.{name}" if path else name
            self.notes.wrong(place, f"{under} is missing", f"write {name}: below {path or 'the document'}")
        for group in shape.one_of:
            if not given.intersection(group):
                self.notes.wrong(place, f"{path} has none of {', '.join(group)}", "write one of them")
        for group in (*shape.one_of, *shape.rivals):
            if len(both := [name for name in group if name in given]) > 1:
                self.notes.wrong(place, f"{path} has both {' and '.join(both)}", "keep one of them")


def given_in(fields: Fields) -> frozenset[str]:
    """Return the keys that are given with a value; null is none."""
    return frozenset(
        name for name, value in fields.values.items() if not (isinstance(value, Scalar) and value.null)
    )
