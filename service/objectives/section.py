"""One mapping of a document while it is read: every question notes its own mistakes.

A question that finds a mistake returns None (or nothing) and the reading goes on, so that
all mistakes of a file are found in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from service.objectives.located import Fields, Items, Scalar, Value
from service.objectives.mistakes import Notes, Place, closest, suggestion

T = TypeVar("T")
LONGEST_TEXT: Final = 1_050
"""As long as OpenSLO lets a description be."""


class NotThatError(ValueError):
    """A text that is not what was asked for: `cause` and `hint` say why and what is."""

    def __init__(self, cause: str, hint: str) -> None:
        super().__init__(f"{cause}; {hint}")
        self.cause = cause
        self.hint = hint


def read(name: str, text: str, reader: Callable[[str], T]) -> T:
    """Return a text read by `reader`, of a field that its `NotThatError` names."""
    try:
        return reader(text)
    except NotThatError as error:
        raise NotThatError(f"{name}: {error.cause}", error.hint) from None


@dataclass(slots=True)
class Section:
    """A mapping, its path from the top of the document, and where to note mistakes."""

    fields: Fields
    path: str
    notes: Notes
    begin: Place
    """Where the key of the mapping stands, or its entry in a list."""
    misspelt: set[str] = field(default_factory=set)
    """Fields that `only` found written wrong: they are not missing as well."""

    def place(self, name: str | None = None) -> Place:
        """Return where a key stands, or the section itself without one."""
        return self.fields.places.get(name or "", self.begin)

    def has(self, name: str) -> bool:
        """Tell whether a key is given with a value."""
        value = self.fields.values.get(name)
        return value is not None and not (isinstance(value, Scalar) and value.null)

    def lacks(self, name: str) -> bool:
        """Tell whether a key is neither given nor merely misspelt."""
        return not self.has(name) and name not in self.misspelt

    def wrong(self, name: str | None, cause: str, hint: str) -> None:
        """Note a mistake at a key, or at the section itself."""
        self.notes.wrong(self.place(name), cause, hint)

    def only(self, *known: str) -> None:
        """Note every key that is not known here."""
        for name in self.fields.values:
            if name not in known:
                self.wrong(name, f"{self._named(name)} is not a field", suggestion(name, known))
                self.misspelt.add(closest(name, known) or "")

    def text(self, name: str, *, required: bool = True) -> str | None:
        """Return a text as written; None, noted if required, when it is missing or no text."""
        value = self._given(name, required=required)
        if value is None:
            return None
        if not isinstance(value, Scalar):
            self.wrong(name, f"{self._named(name)} must be a single value", "write one word or number")
        elif len(value.text) > LONGEST_TEXT:
            self.wrong(name, f"{self._named(name)} is over {LONGEST_TEXT} characters", "write it shorter")
        else:
            return value.text
        return None

    def read(self, name: str, reader: Callable[[str], T], *, required: bool = True) -> T | None:
        """Return a text read by `reader`; its `NotThatError` is noted at the text."""
        text = self.text(name, required=required)
        try:
            return None if text is None else reader(text)
        except NotThatError as error:
            self.notes.wrong(
                self.fields.values[name].place, f"{self._named(name)}: {error.cause}", error.hint
            )
            return None

    def section(self, name: str, *, required: bool = True) -> Section | None:
        """Return a mapping; None, noted, when it is missing or none."""
        value = self._given(name, required=required)
        return None if value is None else self._section(value, self._named(name), self.place(name))

    def sections(self, name: str, *, required: bool = True) -> list[Section]:
        """Return a list of mappings; empty, noted, when it is missing or none."""
        items = self._items(name, required=required)
        found = (
            self._section(item, f"{self._named(name)}[{at}]", item.place) for at, item in enumerate(items)
        )
        return [section for section in found if section is not None]

    def words(self, name: str) -> Iterator[tuple[str, Place]]:
        """Yield the texts of a list, each with its place; nothing if it is not given."""
        for item in self._items(name, required=False):
            if isinstance(item, Scalar):
                yield item.text, item.place
            else:
                self.notes.wrong(item.place, f"{self._named(name)} must list words", "write [model, tenant]")

    def _items(self, name: str, *, required: bool) -> Sequence[Value]:
        value = self._given(name, required=required)
        if value is None or isinstance(value, Items):
            return () if value is None else value.values
        self.wrong(name, f"{self._named(name)} must be a list", "begin each entry with a dash")
        return ()

    def _given(self, name: str, *, required: bool) -> Value | None:
        if self.has(name):
            return self.fields.values[name]
        if required and self.lacks(name):
            self.wrong(name, f"{self._named(name)} is missing", "see docs/objectives.md for an example")
        return None

    def _section(self, value: Value, path: str, begin: Place) -> Section | None:
        if isinstance(value, Fields):
            return Section(value, path, self.notes, begin)
        self.notes.wrong(begin, f"{path} must be a mapping", "write key: value lines below it")
        return None

    def _named(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name
