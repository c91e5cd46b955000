"""Which fields Sloth's specs have, as data: prometheus/v1, its Kubernetes form, OpenSLO v1alpha."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from service.objectives.languages.durations import prometheus_us
from service.objectives.languages.openslo_fields import V1ALPHA
from service.objectives.languages.readers import (
    LABEL_NAME,
    between,
    not_empty,
    one_of,
    pattern,
    positive_whole,
    query,
)
from service.objectives.languages.shapes import Free, Many, Named, Record, Word
from service.objectives.languages.trees import at, text
from service.objectives.located import Fields
from service.objectives.mistakes import Notes
from service.objectives.words import yes_or_no

PROMETHEUS: Final = "prometheus/v1"
KUBERNETES: Final = "sloth.slok.dev/v1"

_NAME = Word(
    pattern(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", "a name: letters, digits and inner -_.", "my-name")
)
_TEXT = Word()
_TEXTS = Named(_TEXT, name=pattern(LABEL_NAME, "a label name", "owner"))
_FLAG = Word(yes_or_no)
_QUERY = Word(query)
_PERCENT = Word(between("0", "100", ends="(]"))


def snake(name: str) -> str:
    """Return a key as the Prometheus form writes it."""
    return name


def camel(name: str) -> str:
    """Return a key as the Kubernetes form writes it: error_query is errorQuery."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def _slos(key: Callable[[str], str]) -> dict[str, Record | Word | Named | Many | Free]:
    """Return the fields that both forms share, their keys written one way."""
    alert = Record(fields={"disable": _FLAG, "labels": _TEXTS, "annotations": _TEXTS})
    alerting = Record(
        fields={
            "name": _TEXT,
            "labels": _TEXTS,
            "annotations": _TEXTS,
            key("page_alert"): alert,
            key("ticket_alert"): alert,
        }
    )
    events = (key("error_query"), key("total_query"))
    sli = Record(
        fields={
            "events": Record(fields=dict.fromkeys(events, _QUERY), required=events),
            "raw": Record(fields={key("error_ratio_query"): _QUERY}, required=(key("error_ratio_query"),)),
            "plugin": Record(fields={"id": _TEXT, "options": Free()}, also=_no_plugin),
        },
        one_of=(("events", "raw", "plugin"),),
    )
    slo = Record(
        fields={
            "name": _NAME,
            "description": _TEXT,
            "objective": _PERCENT,
            "labels": _TEXTS,
            "sli": sli,
            "alerting": alerting,
            "plugins": Free(),
        },
        required=("name", "objective", "sli"),
        also=_named_alerts(key),
    )
    return {"service": _NAME, "labels": _TEXTS, key("slo_plugins"): Free(), "slos": Many(slo, least=1)}


def _no_plugin(plugin: Fields, notes: Notes) -> None:
    """A plugin is a program in Go, which cannot be run here."""
    hint = "write the queries it makes as events or raw"
    notes.wrong(plugin.place, f"the SLI plugin {text(plugin, 'id')!r} cannot be run here", hint)


def _named_alerts(key: Callable[[str], str]) -> Callable[[Fields, Notes], None]:
    """Return the check that alerts which are not disabled have a name."""

    def check(slo: Fields, notes: Notes) -> None:
        silent = all(
            text(slo, "alerting", key(alert), "disable").lower() == "true"
            for alert in ("page_alert", "ticket_alert")
        )
        if not silent and not text(slo, "alerting", "name").strip():
            alerting = at(slo, "alerting")
            place = slo.places.get("alerting", slo.place)
            if isinstance(alerting, Fields):
                place = alerting.places.get("name", place)
            hint = f"write one, or disable: true under both {key('page_alert')} and {key('ticket_alert')}"
            notes.wrong(place, "alerting.name is missing", hint)

    return check


def _openslo() -> Record:
    """Return what Sloth reads of OpenSLO: ratios of Prometheus queries over days."""
    metric = Record(
        fields={
            "source": Word(one_of("prometheus", "sloth")),
            "queryType": Word(one_of("promql")),
            "query": _QUERY,
        },
        required=("source", "queryType", "query"),
    )
    objective = Record(
        fields={
            "displayName": _TEXT,
            "target": Word(between("0", "1", ends="(]")),
            "ratioMetrics": Record(
                fields={"good": metric, "total": metric, "incremental": _FLAG, "counter": _FLAG},
                required=("good", "total"),
            ),
        },
        required=("target", "ratioMetrics"),
    )
    window = Record(
        fields={"unit": Word(one_of("Day", "day")), "count": Word(positive_whole), "isRolling": _FLAG},
        required=("unit", "count"),
    )
    spec = Record(
        fields={
            "service": _NAME,
            "description": _TEXT,
            "budgetingMethod": Word(one_of("Occurrences")),
            "objectives": Many(objective, least=1),
            "timeWindows": Many(window, most=1),
        },
        required=("service", "objectives"),
    )
    metadata = Record(fields={"name": _NAME, "displayName": _TEXT}, required=("name",))
    return Record(
        fields={"apiVersion": _TEXT, "kind": Word(one_of("SLO")), "metadata": metadata, "spec": spec},
        required=("kind", "metadata", "spec"),
    )


def _kubernetes() -> Record:
    spec = Record(fields=_slos(camel), required=("service", "slos"))
    return Record(
        fields={
            "apiVersion": _TEXT,
            "kind": Word(one_of("PrometheusServiceLevel")),
            "metadata": Free(),
            "spec": spec,
            "status": Free(),
        },
        required=("kind", "metadata", "spec"),
    )


def _alert_windows() -> Record:
    pair = Record(
        fields={
            "errorBudgetPercent": _PERCENT,
            "shortWindow": Word(prometheus_us),
            "longWindow": Word(prometheus_us),
        },
        required=("errorBudgetPercent", "shortWindow", "longWindow"),
    )
    severity = Record(fields={"quick": pair, "slow": pair}, required=("quick", "slow"))
    spec = Record(
        fields={"sloPeriod": Word(prometheus_us), "page": severity, "ticket": severity},
        required=("sloPeriod", "page", "ticket"),
    )
    return Record(
        fields={
            "apiVersion": Word(one_of(KUBERNETES)),
            "kind": Word(one_of("AlertWindows")),
            "metadata": Free(),
            "spec": spec,
        },
        required=("apiVersion", "kind", "spec"),
    )


SPECS: Final[dict[str, Record]] = {
    PROMETHEUS: Record(
        fields={"version": Word(not_empty), **_slos(snake)}, required=("version", "service", "slos")
    ),
    KUBERNETES: _kubernetes(),
    V1ALPHA: _openslo(),
}
"""By the version that a document gives of itself."""

ALERT_WINDOWS: Final = _alert_windows()
