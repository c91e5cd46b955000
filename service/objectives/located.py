"""YAML as values that know their place in the file.

Scalars stay the text that was written, so that a target of 0.999 is exactly that. Bounded in
bytes, depth and number of values (aliases count each time they are used).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from service.objectives.mistakes import Notes, Place

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 30
MAX_VALUES: Final = 50_000
_START: Final = Place(1, 1)
_NULL: Final = "null"
_FOLD: Final = "\a"
"""The parser's own mark of where a folded text was folded, left in its value."""
_HINT: Final = "see docs/objectives.md for the form of a file"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text as written, without quotes; `null` marks an empty or null value.

    `kind` is what YAML takes it for: `str`, `int`, `float`, `bool`, `timestamp` or `null`.
    """

    place: Place
    text: str
    null: bool = False
    kind: str = "str"


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    place: Place
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping; `places` says where each key stands."""

    place: Place
    values: dict[str, Value]
    places: dict[str, Place]


Value = Scalar | Items | Fields


class _TooMuchError(Exception):
    """More values or depth than any file of objectives has."""


class _Bounded(Composer):
    """Takes a text apart only as far as the bounds: a megabyte of brackets would take seconds."""

    _values = _depth = 0

    def compose_node(self, parent: Node | None, index: int | Node | None) -> Node | None:
        """Return the next node; raises `_TooMuchError` past the bounds."""
        self._values += 1
        self._depth += 1
        if self._values > MAX_VALUES or self._depth > MAX_DEPTH + 1:
            raise _TooMuchError
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


def documents(text: str, notes: Notes) -> list[Value]:
    """Return the documents of a YAML text; those of a top-level list count one by one.

    What is not YAML is noted, and what came before it is returned.
    """
    if len(text) > MAX_BYTES:
        notes.wrong(_START, f"the file is over {MAX_BYTES} bytes", "split it")
        return []
    found: list[Value] = []
    reader, yaml = _Reader(notes), YAML(typ="rt", pure=True)
    yaml.Composer = _Bounded
    try:
        for node in yaml.compose_all(text):
            value = reader.value(node, 0)
            found.extend(value.values if isinstance(value, Items) else [value])
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else _START
        notes.wrong(place, f"not YAML: {error.problem or error.context}", _HINT)
    except YAMLError as error:
        notes.wrong(_START, f"not YAML: {str(error).splitlines()[0]}", _HINT)
    except _TooMuchError:
        cause = f"over {MAX_VALUES} values, or nested deeper than {MAX_DEPTH}"
        notes.wrong(_START, cause, "split the file")
    return found


class _Reader:
    """Turns parser nodes into values, counting them."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._left = MAX_VALUES

    def value(self, node: Node, depth: int) -> Value:
        """Return a node's value; raises `_TooMuchError` past the bounds."""
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise _TooMuchError
        place = Place(node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, MappingNode):
            return self._fields(node, place, depth)
        if isinstance(node, SequenceNode):
            return Items(place, tuple(self.value(item, depth + 1) for item in node.value))
        kind = str(node.tag).rpartition(":")[2]
        folded = isinstance(node, ScalarNode) and node.style == ">"
        text = str(node.value).replace(_FOLD, "") if folded else str(node.value)
        return Scalar(place, text, kind == _NULL, kind)

    def _fields(self, node: MappingNode, place: Place, depth: int) -> Fields:
        fields = Fields(place, {}, {})
        for key, item in self._pairs(node):
            where = Place(key.start_mark.line + 1, key.start_mark.column + 1)
            name = str(key.value)
            if name in fields.values:
                self._notes.wrong(where, f"{name} is given twice", "keep one of them")
                continue
            fields.values[name] = self.value(item, depth + 1)
            fields.places[name] = where
        return fields

    def _pairs(self, node: MappingNode) -> Iterator[tuple[ScalarNode, Node]]:
        for key, item in node.value:
            if isinstance(key, ScalarNode):
                yield key, item
            else:
                where = Place(key.start_mark.line + 1, key.start_mark.column + 1)
                self._notes.wrong(where, "a key that is not a word", _HINT)
