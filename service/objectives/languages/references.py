"""Objects that OpenSLO objects hold or name: put in place of their names, or set free of their holders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from service.objectives.languages.documents import Document
from service.objectives.languages.trees import at, grown, items, plain, put, renamed, text
from service.objectives.located import Fields, Items, Value

SLI: Final = "SLI"


@dataclass(frozen=True, slots=True)
class Slot:
    """Where an object stands inside another: a field, or the entries of a list.

    An entry that holds an object has its `kind`; a field says by its name what it holds.
    """

    kind: str
    reference: str
    field: str
    entries: bool = False


_INDICATORS: Final = (Slot(SLI, "indicatorRef", "indicator"), Slot(SLI, "sliRef", "sli"))
_SLOTS: Final[dict[str, tuple[Slot, ...]]] = {
    "SLO": (Slot("AlertPolicy", "alertPolicyRef", "alertPolicies", entries=True), *_INDICATORS),
    "AlertPolicy": (
        Slot("AlertNotificationTarget", "targetRef", "notificationTargets", entries=True),
        Slot("AlertCondition", "conditionRef", "conditions", entries=True),
    ),
    "objective": _INDICATORS,
}
_METRICS: Final = ("good", "bad", "total", "raw", "thresholdMetric")
_SOURCE: Final = Slot("DataSource", "dataSourceRef", "dataSourceSpec")


class Inliner:
    """Puts named objects in place of their names; knows which ones it used."""

    def __init__(self, documents: Sequence[Document], kinds: Iterable[str] = ()) -> None:
        """Look names up among `documents`; with `kinds`, only names of these kinds."""
        self._kinds = frozenset(kinds)
        self._known: dict[tuple[str, str, str], list[Document]] = {}
        self._used: set[tuple[str, str, str]] = set()
        for document in documents:
            self._known.setdefault(_key(document), []).append(document)

    def inlined(self, documents: Sequence[Document]) -> list[Document]:
        """Return the documents with every name resolved, without those that were put elsewhere.

        A name that nothing has, or several objects have, is noted where it is used.
        """
        whole = [
            document.holding(put(document.fields, spec=self._spec(document, document.kind, spec)))
            if isinstance(spec := at(document.fields, "spec"), Fields)
            else document
            for document in documents
        ]
        return [document for document in whole if _key(document) not in self._used]

    def _spec(self, document: Document, kind: str, spec: Fields) -> Fields:
        for slot in _SLOTS.get(kind, ()):
            spec = self._entries(document, slot, spec) if slot.entries else self._field(document, slot, spec)
        if kind == "SLO" and (objectives := items(spec, "objectives")):
            inner = [
                self._spec(document, "objective", each) for each in objectives if isinstance(each, Fields)
            ]
            spec = put(spec, objectives=inner)
        return self._sources(document, spec) if kind == SLI else spec

    def _field(self, document: Document, slot: Slot, spec: Fields) -> Fields:
        if text(spec, slot.reference):
            found = self._named(document, slot, spec)
            return spec if found is None else _swapped(spec, slot.reference, slot.field, found)
        held = at(spec, slot.field)
        if isinstance(held, Fields) and isinstance(inner := at(held, "spec"), Fields):
            return put(spec, **{slot.field: put(held, spec=self._spec(document, slot.kind, inner))})
        return spec

    def _entries(self, document: Document, slot: Slot, spec: Fields) -> Fields:
        entries = items(spec, slot.field)
        if not entries:
            return spec
        return put(spec, **{slot.field: [self._entry(document, slot, each) for each in entries]})

    def _entry(self, document: Document, slot: Slot, entry: Value) -> Value:
        if not isinstance(entry, Fields):
            return entry
        if text(entry, slot.reference):
            held = self._named(document, slot, entry)
            return entry if held is None else put(held, kind=slot.kind)
        inner = at(entry, "spec")
        return put(entry, spec=self._spec(document, slot.kind, inner)) if isinstance(inner, Fields) else entry

    def _named(self, document: Document, slot: Slot, holder: Fields) -> Fields | None:
        """Return the object that a holder names; None, noted, if there is not exactly one."""
        found = self._found(document, slot, holder)
        if found is None:
            return None
        spec = at(found.fields, "spec")
        inner = self._spec(found, slot.kind, spec) if isinstance(spec, Fields) else None
        return put(found.fields, apiVersion=None, kind=None, spec=inner)

    def _found(self, document: Document, slot: Slot, holder: Fields) -> Document | None:
        if self._kinds and slot.kind not in self._kinds:
            return None
        name = text(holder, slot.reference)
        key = (document.version, slot.kind, name)
        found = self._known.get(key, [])
        if len(found) == 1:
            self._used.add(key)
            return found[0]
        cause = f"{'several objects are' if found else 'nothing is'} called {slot.kind} {name!r}"
        hint = "give each its own name" if found else "give the file that has it as well"
        document.wrong(holder.places[slot.reference], cause, hint)
        return None

    def _sources(self, document: Document, spec: Fields) -> Fields:
        """Return an indicator whose metrics hold the data sources that they named (v2alpha)."""
        for name, value in spec.values.items():
            if not isinstance(value, Fields):
                continue
            if name == "ratioMetric":
                spec = put(spec, **{name: self._sources(document, value)})
            elif name in _METRICS and text(value, _SOURCE.reference):
                found = self._found(document, _SOURCE, value)
                if found is not None:
                    held = at(found.fields, "spec")
                    spec = put(spec, **{name: _swapped(value, _SOURCE.reference, _SOURCE.field, held)})
        return spec


def standing_alone(documents: Sequence[Document]) -> list[Document]:
    """Return the documents with every object that one holds as a document of its own, named instead.

    What has no name stays where it is; what several hold alike stands once.
    """
    parted = [_freed(document) for document in documents]
    known = {_key(head): plain(head.fields) for head, *_ in parted}
    kept: list[Document] = []
    for head, *held in parted:
        kept.append(head)
        for each in held:
            value = plain(each.fields)
            first = known.setdefault(_key(each), value)
            if first is value:
                kept.append(each)
            elif first != value:
                cause = f"another {each.kind} is called {each.name!r} and is not the same"
                each.wrong(each.fields.place, cause, "give each its own name")
    return kept


def _freed(document: Document) -> list[Document]:
    """Return a document without what it held, then what it held."""
    spec = at(document.fields, "spec")
    if not isinstance(spec, Fields):
        return [document]
    held: list[Document] = []
    for slot in _SLOTS.get(document.kind, ()):
        spec, out = _without(document, slot, spec)
        held += out
    entries: list[Value] = []
    for entry in items(spec, "objectives") if document.kind == "SLO" else ():
        bare = entry
        for slot in _SLOTS["objective"]:
            bare, out = _without(document, slot, bare) if isinstance(bare, Fields) else (bare, [])
            held += out
        entries.append(bare)
    spec = put(spec, objectives=entries) if entries else spec
    return [document.holding(put(document.fields, spec=spec)), *held]


def _without(document: Document, slot: Slot, spec: Fields) -> tuple[Fields, list[Document]]:
    """Return a mapping that names what stood in one slot, then these objects and what they held."""
    if not slot.entries:
        held = _object(document, slot, at(spec, slot.field))
        if held is None:
            return spec, []
        return _swapped(spec, slot.field, slot.reference, held.name), _freed(held)
    entries = items(spec, slot.field)
    objects = [_object(document, slot, entry) for entry in entries]
    named = [
        entry if held is None else grown({slot.reference: held.name}, entry.place)
        for entry, held in zip(entries, objects, strict=True)
    ]
    parts = [_freed(held) for held in objects if held is not None]
    out = [part[0] for part in parts] + [each for part in parts for each in part[1:]]
    return (put(spec, **{slot.field: Items(spec.place, tuple(named))}) if named else spec), out


def _object(document: Document, slot: Slot, held: Value | None) -> Document | None:
    """Return an object that stands in a slot as a document; None for a name, or without one."""
    if not isinstance(held, Fields) or not text(held, "metadata", "name"):
        return None
    whole = {
        "apiVersion": document.version,
        "kind": slot.kind,
        "metadata": at(held, "metadata"),
        "spec": at(held, "spec"),
    }
    fields = grown(whole, held.place)
    assert isinstance(fields, Fields)
    return document.holding(fields)


def _swapped(fields: Fields, old: str, new: str, value: object) -> Fields:
    """Return the mapping with another key and value in the place of one."""
    return put(renamed(fields, {old: new}), **{new: value})


def _key(document: Document) -> tuple[str, str, str]:
    return document.version, document.kind, document.name
