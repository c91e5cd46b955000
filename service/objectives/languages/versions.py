"""OpenSLO objects from one version of the language to another.

v1alpha goes to v1 by way of its own; v1 and v2alpha differ in names of keys, in how a metric
names its source, and in v2alpha having no display names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from service.objectives.languages.documents import Document, check_openslo
from service.objectives.languages.openslo_fields import V1, V1ALPHA, V2ALPHA
from service.objectives.languages.trees import at, items, put, renamed, text
from service.objectives.located import Fields, Items, Value

DISPLAY_NAME: Final = "openslo.com/displayName"
"""The annotation that keeps a display name where v2alpha has no field for it."""

_TO_V2ALPHA: Final = {"service": "serviceRef", "indicator": "sli", "indicatorRef": "sliRef"}
_TO_V1: Final = {new: old for old, new in _TO_V2ALPHA.items()}
_METRICS: Final = frozenset({"good", "bad", "total", "raw", "thresholdMetric"})
_UNTOUCHED: Final = frozenset({"connectionDetails", "dataSourceSpec"})
_UNITS: Final = {
    "Minute": "m",
    "Hour": "h",
    "Day": "d",
    "Week": "w",
    "Month": "M",
    "Quarter": "Q",
    "Year": "Y",
}

Note = Callable[[Fields, str, str], None]


@dataclass(frozen=True, slots=True)
class _Step:
    """How keys, metadata and metrics change from one version to the next."""

    version: str
    names: dict[str, str]
    metadata: Callable[[Fields], Fields]
    metric: Callable[[Fields, Note], Fields]

    def walked(self, value: Value, note: Note) -> Value:
        if isinstance(value, Items):
            return Items(value.place, tuple(self.walked(each, note) for each in value.values))
        if not isinstance(value, Fields):
            return value
        changed = {name: self._changed(name, each, note) for name, each in value.values.items()}
        return renamed(Fields(value.place, changed, value.places), self.names)

    def _changed(self, name: str, value: Value, note: Note) -> Value:
        if name in _UNTOUCHED:
            return value
        if name == "metadata" and isinstance(value, Fields):
            return self.metadata(value)
        if name in _METRICS and isinstance(value, Fields):
            return self.metric(value, note)
        return self.walked(value, note)


def converted(documents: Sequence[Document], version: str) -> list[Document]:
    """Return the documents in a version; what it has no place for is noted where it stands."""
    return [each for document in documents for each in _converted(document, version)]


def _converted(document: Document, version: str) -> list[Document]:
    if document.version == version:
        return [document]
    if document.version == V1ALPHA:
        return converted(_from_v1alpha(document), version)
    step = _STEPS[version]

    def note(fields: Fields, cause: str, hint: str) -> None:
        document.wrong(fields.place, cause, hint)

    walked = step.walked(document.fields, note)
    assert isinstance(walked, Fields)
    made = document.holding(put(walked, apiVersion=step.version))
    check_openslo(made)
    return [made]


def _metadata_to_v2alpha(metadata: Fields) -> Fields:
    labels = at(metadata, "labels")
    if isinstance(labels, Fields):
        single = {
            name: "_".join(text(each) for each in value.values) if isinstance(value, Items) else value
            for name, value in labels.values.items()
        }
        metadata = put(metadata, labels=put(labels, **single))
    if not (shown := text(metadata, "displayName")):
        return metadata
    annotations = at(metadata, "annotations")
    kept = annotations.values if isinstance(annotations, Fields) else {}
    return put(metadata, displayName=None, annotations={**kept, DISPLAY_NAME: shown})


def _metadata_to_v1(metadata: Fields) -> Fields:
    annotations = at(metadata, "annotations")
    if not isinstance(annotations, Fields) or DISPLAY_NAME not in annotations.values:
        return metadata
    left = put(annotations, **{DISPLAY_NAME: None})
    return put(
        metadata, displayName=text(annotations, DISPLAY_NAME), annotations=left if left.values else None
    )


def _metric_to_v2alpha(metric: Fields, note: Note) -> Fields:
    source = at(metric, "metricSource")
    if not isinstance(source, Fields):
        return metric
    named, kind = text(source, "metricSourceRef"), text(source, "type")
    if not named and not kind:
        note(source, "the metric names no source", "write metricSourceRef: or type:")
    origin = {"dataSourceRef": named} if named else {"dataSourceSpec": {"type": kind}}
    return put(metric, metricSource=None, **origin, spec=at(source, "spec"))


def _metric_to_v1(metric: Fields, note: Note) -> Fields:
    source = at(metric, "dataSourceSpec")
    if isinstance(source, Fields) and (beyond := [name for name in source.values if name != "type"]):
        cause = f"a metric of {V1} has no place for {', '.join(beyond)} of its source"
        note(source, cause, "make it a DataSource and name it by dataSourceRef")
    named, kind = text(metric, "dataSourceRef"), text(source, "type")
    held = {"metricSourceRef": named, "type": kind, "spec": at(metric, "spec")}
    origin = {name: value for name, value in held.items() if value}
    return put(metric, dataSourceRef=None, dataSourceSpec=None, spec=None, metricSource=origin)


_STEPS: Final = {
    V1: _Step(V1, _TO_V1, _metadata_to_v1, _metric_to_v1),
    V2ALPHA: _Step(V2ALPHA, _TO_V2ALPHA, _metadata_to_v2alpha, _metric_to_v2alpha),
}


def _from_v1alpha(document: Document) -> list[Document]:
    """Return v1 documents: one for each ratio, numbered if there are several."""
    fields, spec = put(document.fields, apiVersion=V1), at(document.fields, "spec")
    if document.kind != "SLO" or not isinstance(spec, Fields):
        return [document.holding(put(fields, spec=spec or {}))]
    spec = renamed(
        put(spec, timeWindows=[_window(each) for each in items(spec, "timeWindows")]),
        {"timeWindows": "timeWindow"},
    )
    threshold, metadata = at(spec, "indicator", "thresholdMetric"), at(fields, "metadata")
    if isinstance(threshold, Fields):
        indicator = {"metadata": {"name": document.name}, "spec": {"thresholdMetric": _metric(threshold)}}
        return _checked([document.holding(put(fields, spec=put(spec, indicator=indicator)))])
    objectives = items(spec, "objectives")
    made = []
    for number, objective in enumerate(objectives):
        name = document.name if len(objectives) == 1 else f"{document.name}-{number}"
        held = {"metadata": {"name": name}, "spec": {"ratioMetric": _ratio(at(objective, "ratioMetrics"))}}
        assert isinstance(objective, Fields)
        assert isinstance(metadata, Fields)
        one = put(spec, indicator=held, objectives=[put(objective, ratioMetrics=None)])
        made.append(document.holding(put(fields, metadata=put(metadata, name=name), spec=one)))
    return _checked(made)


def _checked(documents: list[Document]) -> list[Document]:
    for document in documents:
        check_openslo(document)
    return documents


def _window(window: Value) -> Value:
    assert isinstance(window, Fields)
    duration = text(window, "count") + _UNITS.get(text(window, "unit"), "s")
    return put(window, unit=None, count=None, duration=duration)


def _ratio(ratio: Value | None) -> dict[str, object]:
    counted = at(ratio, "incremental") or at(ratio, "counter")
    metrics = {name: _metric(each) for name in ("good", "bad", "total") if (each := at(ratio, name))}
    return {**({"counter": counted} if counted else {}), **metrics}


def _metric(metric: Value) -> dict[str, object]:
    source = text(metric, "source")
    kind = "Prometheus" if source.lower() == "prometheus" else source
    asked = {name: each for name in ("queryType", "query", "metadata") if (each := at(metric, name))}
    return {"metricSource": {"type": kind, "spec": asked}}
