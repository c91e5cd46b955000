"""OpenSLO v1 documents as promises that Prometheus can keep count of.

Two sources of metrics can: our own, by the counters we export for every objective, and
Prometheus queries that leave their window open, as Sloth's do.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from service.counting.slo_counters import GOOD_REQUESTS, REQUESTS
from service.objectives.languages.documents import Document
from service.objectives.languages.openslo_fields import V1
from service.objectives.languages.readers import query as checked_query
from service.objectives.languages.service_level import Alert, Origin, Query, ServiceLevel
from service.objectives.languages.shapes import given_in
from service.objectives.languages.trees import at, items, text, texts
from service.objectives.languages.windows import Windows, usual
from service.objectives.located import Fields, Value
from service.objectives.openslo import objective
from service.objectives.section import NotThatError, Section
from service.objectives.sources import TYPE
from service.objectives.words import duration
from slo.objective import Objective

ALERT: Final = "SloBudgetBurn"

_METRICS: Final = ("good", "bad", "total", "raw")
_MODE: Final = "inferometer-slo-convert"


def levels(document: Document, windows: Windows) -> list[ServiceLevel]:
    """Return the promises of a v1 SLO; none, with every mistake noted, if rules cannot keep it."""
    spec = at(document.fields, "spec")
    if document.kind != "SLO" or not isinstance(spec, Fields):
        return []
    if _kinds(at(spec, "indicator", "spec")) == {TYPE}:
        own = objective(Section(document.fields, "", document.notes, document.fields.place))
        return [] if own is None else [_own(document, own)]
    before = len(document.notes.mistakes)
    period_us = _period_us(document, spec, windows)
    found = list(_levels(document, spec, windows if period_us == windows.period_us else usual(period_us)))
    return found if len(document.notes.mistakes) == before else []


def _kinds(sli: Value | None) -> set[str]:
    metrics = [at(sli, "thresholdMetric"), *(at(sli, "ratioMetric", name) for name in _METRICS)]
    return {text(metric, "metricSource", "type").lower() for metric in metrics if metric is not None}


def _own(document: Document, own: Objective) -> ServiceLevel:
    labels = ", ".join(("objective", *own.group_by))

    def counted(counter: str) -> str:
        return f'sum by ({labels}) (rate({counter}{{objective="{own.name}"}}[{{{{.window}}}}]))'

    severities = dict.fromkeys(pair.severity for pair in own.alerts.pairs)
    return ServiceLevel(
        service=text(document.fields, "spec", "service"),
        name=own.name,
        query=Query(good=counted(GOOD_REQUESTS), total=counted(REQUESTS)),
        target=own.target,
        period_us=own.period_us,
        pairs=own.alerts.pairs,
        origin=_origin(document),
        description=own.description,
        alerts=tuple(
            Alert(
                name=ALERT,
                severity=severity,
                labels={"objective": own.name},
                annotations={"promise": own.sentence()},
            )
            for severity in severities
        ),
    )


def _levels(document: Document, spec: Fields, windows: Windows) -> Iterator[ServiceLevel]:
    """Yield the promises over Prometheus queries: one for each objective, numbered if several."""
    if (method := text(spec, "budgetingMethod")) != "Occurrences":
        place = spec.places.get("budgetingMethod", spec.place)
        document.wrong(place, f"rules cannot count budgets in {method!r}", "write Occurrences")
    objectives = items(spec, "objectives")
    for number, each in enumerate(objectives):
        asked = _query(document, at(each, "indicator", "spec") or at(spec, "indicator", "spec"), spec)
        target = text(each, "target") or text(each, "targetPercent")
        if asked is not None:
            yield ServiceLevel(
                service=text(spec, "service"),
                name=document.name if len(objectives) == 1 else f"{document.name}-{number}",
                query=asked,
                target=Decimal(target) / (1 if text(each, "target") else 100),
                period_us=windows.period_us,
                pairs=windows.pairs,
                origin=_origin(document),
                description=text(spec, "description"),
                labels=_labels(document),
            )


def _query(document: Document, sli: Value | None, spec: Fields) -> Query | None:
    ratio = at(sli, "ratioMetric")
    if not isinstance(ratio, Fields):
        cause = "rules can keep ratios of events, not thresholds" if sli else "the indicator is not given"
        hint = "write ratioMetric with good and total" if sli else "give the file that has it as well"
        document.wrong(getattr(sli, "place", spec.place), cause, hint)
        return None
    found = {name: _promql(document, at(ratio, name)) for name in _METRICS if name in given_in(ratio)}
    raw = found.get("raw") or ""
    if raw and text(ratio, "rawType") == "success":
        raw = f"1 - ({raw.strip()})"
    if None in found.values():
        return None
    return Query(
        total=found.get("total") or "", bad=found.get("bad") or "", good=found.get("good") or "", ratio=raw
    )


def _promql(document: Document, metric: Value | None) -> str | None:
    """Return the query of a metric; None, noted, if Prometheus cannot answer it over any window."""
    source = at(metric, "metricSource")
    assert isinstance(source, Fields)
    if (kind := text(source, "type")).lower() != "prometheus":
        named = repr(kind) if kind else "a source without type"
        hint = f"write type: Prometheus with spec.query, or type: {TYPE}"
        document.wrong(source.places.get("type", source.place), f"rules cannot ask {named}", hint)
        return None
    try:
        return checked_query(text(source, "spec", "query"))
    except NotThatError as error:
        asked = at(source, "spec", "query")
        document.wrong(getattr(asked, "place", source.place), error.cause, error.hint)
        return None


def _period_us(document: Document, spec: Fields, windows: Windows) -> int:
    """Return the length of the window, that of the conversion where none is given."""
    for window in items(spec, "timeWindow"):
        if text(window, "isRolling").lower() == "false":
            document.wrong(window.place, "rules cannot follow a calendar", "write isRolling: true")
            continue
        try:
            return duration(text(window, "duration"))
        except NotThatError as error:
            document.wrong(window.place, error.cause, error.hint)
    return windows.period_us


def _labels(document: Document) -> dict[str, str]:
    """Return the labels that have one value: a Prometheus label has no more."""
    return texts(document.fields, "metadata", "labels")


def _origin(document: Document) -> Origin:
    return Origin(place=document.fields.place, mode=_MODE, spec=V1)
