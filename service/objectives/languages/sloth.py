"""Sloth's specs as promises: which of the three forms a document is, it says itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

from service.objectives.languages.documents import Document
from service.objectives.languages.durations import prometheus_duration
from service.objectives.languages.openslo_fields import V1ALPHA
from service.objectives.languages.service_level import Alert, Origin, Query, ServiceLevel
from service.objectives.languages.shapes import Judge
from service.objectives.languages.sloth_fields import KUBERNETES, PROMETHEUS, SPECS, camel, snake
from service.objectives.languages.trees import at, items, text, texts
from service.objectives.languages.windows import Windows
from service.objectives.located import Fields, Value
from service.objectives.mistakes import Notes, Place, suggestion
from slo.durations import MICROS_PER_DAY
from telemetry.condition import Severity

_MODES: Final = {PROMETHEUS: "cli-gen-prom", KUBERNETES: "cli-gen-k8s", V1ALPHA: "cli-gen-openslo"}


def levels(document: Document, windows: Windows, ignored: Notes) -> list[ServiceLevel]:
    """Return the promises of a document; none, with every mistake noted, when something is wrong.

    Keys that Sloth does not know it ignores; they are noted in `ignored`.
    """
    before = len(document.notes.mistakes)
    version = text(document.fields, "version") or document.version
    if version not in SPECS:
        place = document.fields.places.get("version", document.fields.places.get("apiVersion"))
        hint = suggestion(version, tuple(SPECS)) if version else f"write version: {PROMETHEUS}"
        document.wrong(place or document.fields.place, f"{version!r} is no spec that Sloth reads", hint)
        return []
    judge = Judge(document.notes, ignored)
    judge.check(document.fields, SPECS[version], "", document.fields.place)
    if len(document.notes.mistakes) > before:
        return []
    if version == V1ALPHA:
        return list(_openslo(document, windows))
    kubernetes = version == KUBERNETES
    spec = at(document.fields, "spec") if kubernetes else document.fields
    key = camel if kubernetes else snake
    return [_level(spec, each, version, key, windows) for each in items(spec, "slos")]


def _level(
    spec: Value | None, slo: Value, version: str, key: Callable[[str], str], windows: Windows
) -> ServiceLevel:
    return ServiceLevel(
        service=text(spec, "service"),
        name=text(slo, "name"),
        query=Query(
            bad=text(slo, "sli", "events", key("error_query")),
            total=text(slo, "sli", "events", key("total_query")),
            ratio=text(slo, "sli", "raw", key("error_ratio_query")),
        ),
        target=Decimal(text(slo, "objective")) / 100,
        period_us=windows.period_us,
        pairs=windows.pairs,
        origin=Origin(place=slo.place, mode=_MODES[version], spec=version),
        description=text(slo, "description"),
        labels={**texts(spec, "labels"), **texts(slo, "labels")},
        alerts=tuple(_alerts(at(slo, "alerting"), key)),
    )


def _alerts(alerting: Value | None, key: Callable[[str], str]) -> Iterator[Alert]:
    for severity in Severity:
        own = at(alerting, key(f"{severity}_alert"))
        if text(own, "disable").lower() != "true":
            yield Alert(
                name=text(alerting, "name"),
                severity=severity,
                labels={**texts(alerting, "labels"), **texts(own, "labels")},
                annotations={**texts(alerting, "annotations"), **texts(own, "annotations")},
            )


def _openslo(document: Document, windows: Windows) -> Iterator[ServiceLevel]:
    """Yield one promise for each objective, numbered; Sloth gives these no alerts."""
    spec = at(document.fields, "spec")
    for window in items(spec, "timeWindows"):
        if int(text(window, "count")) * MICROS_PER_DAY != windows.period_us:
            period = prometheus_duration(windows.period_us)
            cause = f"the window is of {text(window, 'count')} days, the conversion is for {period}"
            place = window.places["count"] if isinstance(window, Fields) else window.place
            document.wrong(place, cause, f"convert it with --period {text(window, 'count')}d")
            return
    for number, objective in enumerate(items(spec, "objectives")):
        yield ServiceLevel(
            service=text(spec, "service"),
            name=f"{document.name}-{number}",
            query=Query(
                good=text(objective, "ratioMetrics", "good", "query"),
                total=text(objective, "ratioMetrics", "total", "query"),
            ),
            target=Decimal(text(objective, "target")),
            period_us=windows.period_us,
            pairs=windows.pairs,
            origin=Origin(place=objective.place, mode=_MODES[V1ALPHA], spec=V1ALPHA),
            description=text(spec, "description"),
        )


def refuse_duplicates(found: list[tuple[Document, ServiceLevel]]) -> None:
    """Note every promise whose id an earlier one has, in whichever file."""
    seen: dict[str, tuple[str, Place]] = {}
    for document, level in found:
        if level.id in seen:
            file, place = seen[level.id]
            hint = f"it is also at {file}:{place.line}; give each its own service and name"
            document.wrong(level.origin.place, f"two SLOs have the id {level.id}", hint)
        seen.setdefault(level.id, (document.notes.file, level.origin.place))
