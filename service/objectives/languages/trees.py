"""YAML trees that keep their places: taken apart, changed and turned into plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from service.objectives.located import Fields, Items, Scalar, Value
from service.objectives.mistakes import Place

Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]
"""What a YAML writer is given."""

_TYPED: Final[dict[str, Callable[[str], Plain]]] = {
    "int": lambda text: int(text.replace("_", ""), 0),
    "float": float,
    "bool": lambda text: text.lower() == "true",
    "null": lambda _: None,
}


def plain(value: Value) -> Plain:
    """Return a tree as YAML values; a time stays the text that was written."""
    if isinstance(value, Fields):
        return {name: plain(each) for name, each in value.values.items()}
    if isinstance(value, Items):
        return [plain(each) for each in value.values]
    return _typed(value)


def _typed(scalar: Scalar) -> Plain:
    try:
        return _TYPED.get(scalar.kind, str)(scalar.text)
    except ValueError:  # such as 0o17 or .inf, which few readers agree on
        return scalar.text


def grown(value: object, place: Place) -> Value:
    """Return plain values as a tree whose every part stands at one place; trees in it stay."""
    if isinstance(value, Fields | Items | Scalar):
        return value
    if isinstance(value, Mapping):
        return Fields(
            place,
            {str(name): grown(each, place) for name, each in value.items()},
            {str(name): place for name in value},
        )
    if isinstance(value, list | tuple):
        return Items(place, tuple(grown(each, place) for each in value))
    kind = {bool: "bool", int: "int", float: "float", type(None): "null"}.get(type(value), "str")
    text = str(value).lower() if kind == "bool" else str(value)
    return Scalar(place, text, kind == "null", kind)


def at(value: Value | None, *path: str) -> Value | None:
    """Return what stands under a path of keys; None where it ends early or in null."""
    for name in path:
        value = value.values.get(name) if isinstance(value, Fields) else None
    return None if isinstance(value, Scalar) and value.null else value


def text(value: Value | None, *path: str) -> str:
    """Return the text under a path of keys, empty where there is none."""
    found = at(value, *path)
    return found.text if isinstance(found, Scalar) else ""


def items(value: Value | None, *path: str) -> tuple[Value, ...]:
    """Return the entries of the list under a path of keys, none where there is no list."""
    found = at(value, *path)
    return found.values if isinstance(found, Items) else ()


def texts(value: Value | None, *path: str) -> dict[str, str]:
    """Return the texts of the mapping under a path of keys, as written."""
    found = at(value, *path)
    if not isinstance(found, Fields):
        return {}
    return {name: each.text for name, each in found.values.items() if isinstance(each, Scalar)}


def put(fields: Fields, **changes: object) -> Fields:
    """Return the mapping with keys set in place, or added at its end; None takes a key away."""
    values, places = dict(fields.values), dict(fields.places)
    for name, change in changes.items():
        if change is None:
            values.pop(name, None)
        else:
            places.setdefault(name, fields.place)
            values[name] = grown(change, places[name])
    return Fields(fields.place, values, places)


def renamed(fields: Fields, names: Mapping[str, str]) -> Fields:
    """Return the mapping with some keys under other names, in the same order."""
    return Fields(
        fields.place,
        {names.get(name, name): value for name, value in fields.values.items()},
        {names.get(name, name): place for name, place in fields.places.items()},
    )
