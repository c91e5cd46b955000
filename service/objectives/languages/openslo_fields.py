"""Which fields OpenSLO's objects have: v1alpha, v1 and v2alpha as data.

From the specification's README and enhancements/v2alpha.md, and, where these leave room, from
what the project's own SDK accepts and refuses.
"""

from __future__ import annotations

from typing import Final

from service.objectives.languages.readers import (
    between,
    number,
    one_of,
    pattern,
    positive_whole,
    time_zone,
)
from service.objectives.languages.shapes import Free, Many, Named, Record, Shape, Word, given_in
from service.objectives.languages.trees import items, text
from service.objectives.located import Fields
from service.objectives.mistakes import Notes
from service.objectives.words import yes_or_no

V1ALPHA: Final = "openslo/v1alpha"
V1: Final = "openslo/v1"
V2ALPHA: Final = "openslo.com/v2alpha"

_TEXT = Word()
_FLAG = Word(yes_or_no)
_NUMBER = Word(number)
_NAME = Word(
    pattern(
        r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?",
        "a name: lower-case letters, digits and inner dashes, at most 63",
        "my-name",
    )
)
_DESCRIPTION = Word(pattern(r"(?s).{0,1050}", "at most 1050 characters", "a sentence"))
_SHORT_DURATION = Word(pattern(r"[1-9]\d{0,8}[mhdw]", "a duration", "5m or 30d"))
_DURATION = Word(pattern(r"[1-9]\d{0,8}[mhdwMQY]", "a duration", "30d or 1M"))
_OPERATOR = Word(one_of("lte", "gte", "lt", "gt"))
_BUDGETING = Word(one_of("Occurrences", "Timeslices", "RatioTimeslices"))
_CALENDAR = Record(
    fields={
        "startTime": Word(pattern(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "a start time", "2024-01-01 00:00:00")),
        "timeZone": Word(time_zone),
    },
    required=("startTime", "timeZone"),
)
_TARGETS: dict[str, Shape] = {
    "displayName": _TEXT,
    "op": _OPERATOR,
    "value": _NUMBER,
    "target": Word(between("0", "1", ends="[)")),
    "timeSliceTarget": Word(between("0", "1", ends="(]")),
    "timeSliceWindow": _SHORT_DURATION,
}


def _measured(spec: Fields, notes: Notes) -> None:
    """Every objective has an indicator, its own or that of the whole."""
    names = {"indicator", "indicatorRef", "sli", "sliRef"}
    entries = (spec, *(each for each in items(spec, "objectives") if isinstance(each, Fields)))
    if not any(names & given_in(each) for each in entries):
        notes.wrong(spec.place, "spec has no indicator", "write one, or name one by its reference")
    _slices_have_targets(spec, notes)


def _slices_have_targets(spec: Fields, notes: Notes) -> None:
    """Time slices are good or bad by a target of their own."""
    if text(spec, "budgetingMethod") != "Timeslices":
        return
    for number_, objective in enumerate(items(spec, "objectives")):
        if isinstance(objective, Fields) and "timeSliceTarget" not in given_in(objective):
            cause = f"spec.objectives[{number_}].timeSliceTarget is missing"
            notes.wrong(objective.place, cause, "write timeSliceTarget: 0.95 beside the target")


def _metric_sli(metric: Shape) -> Record:
    """Return an indicator: a threshold on one metric, or a ratio of two or of one."""
    ratio = Record(
        fields={
            "counter": _FLAG,
            **dict.fromkeys(("good", "bad", "total", "raw"), metric),
            "rawType": Word(one_of("success", "failure")),
        },
        one_of=(("good", "bad", "raw"),),
        needs={"good": ("total",), "bad": ("total",), "raw": ("rawType",)},
    )
    return Record(
        fields={"description": _DESCRIPTION, "thresholdMetric": metric, "ratioMetric": ratio},
        one_of=(("thresholdMetric", "ratioMetric"),),
    )


def _with_alerts(metadata: Shape, others: dict[str, Record]) -> dict[str, Record]:
    """Return the specs of every kind: the given ones and alerting, which v1 and v2alpha share."""
    condition = Record(
        fields={
            "kind": Word(one_of("burnrate")),
            "op": _OPERATOR,
            "threshold": _NUMBER,
            "lookbackWindow": _SHORT_DURATION,
            "alertAfter": Word(pattern(r"\d{1,9}[mhdw]", "a duration", "5m")),
        },
        required=("kind", "op", "threshold", "lookbackWindow"),
    )
    alert_condition = Record(
        fields={"description": _DESCRIPTION, "severity": _TEXT, "condition": condition},
        required=("severity", "condition"),
    )
    target = Record(fields={"description": _DESCRIPTION, "target": _TEXT}, required=("target",))
    policy = Record(
        fields={
            "description": _DESCRIPTION,
            **dict.fromkeys(("alertWhenNoData", "alertWhenResolved", "alertWhenBreaching"), _FLAG),
            "conditions": Many(inline("conditionRef", metadata, alert_condition), least=1, most=1),
            "notificationTargets": Many(inline("targetRef", metadata, target)),
        },
        required=("conditions",),
    )
    slo = others["SLO"]
    alerted = {**slo.fields, "alertPolicies": Many(inline("alertPolicyRef", metadata, policy))}
    return {
        **others,
        "SLO": Record(
            fields=alerted, required=slo.required, one_of=slo.one_of, rivals=slo.rivals, also=slo.also
        ),
        "AlertPolicy": policy,
        "AlertCondition": alert_condition,
        "AlertNotificationTarget": target,
        "Service": Record(fields={"description": _DESCRIPTION}),
    }


def inline(reference: str, metadata: Shape, spec: Shape) -> Record:
    """Return an entry that names an object or holds it."""
    return Record(
        fields={reference: _NAME, "kind": _TEXT, "metadata": metadata, "spec": spec},
        one_of=((reference, "spec"),),
        needs={"spec": ("metadata",)},
    )


def _documents(version: str, metadata: Shape, specs: dict[str, Record]) -> dict[str, Record]:
    return {
        kind: Record(
            fields={
                "apiVersion": Word(one_of(version)),
                "kind": Word(one_of(kind)),
                "metadata": metadata,
                "spec": spec,
            },
            required=("apiVersion", "kind", "metadata", *(("spec",) if spec.required or spec.one_of else ())),
        )
        for kind, spec in specs.items()
    }


def _v1alpha() -> dict[str, Record]:
    metadata = Record(fields={"name": _NAME, "displayName": _TEXT}, required=("name",))
    metric = Record(
        fields={"source": _TEXT, "queryType": _TEXT, "query": _TEXT, "metadata": Free()},
        required=("source", "queryType", "query"),
    )
    ratio = Record(
        fields={"good": metric, "bad": metric, "total": metric, "incremental": _FLAG, "counter": _FLAG},
        required=("total",),
        one_of=(("good", "bad"),),
    )
    window = Record(
        fields={
            "unit": Word(one_of("Second", "Minute", "Hour", "Day", "Week", "Month", "Quarter", "Year")),
            "count": Word(positive_whole),
            "isRolling": _FLAG,
            "calendar": _CALENDAR,
        },
        required=("unit", "count"),
    )
    slo = Record(
        fields={
            "description": _DESCRIPTION,
            "service": _NAME,
            "indicator": Record(fields={"thresholdMetric": metric}, required=("thresholdMetric",)),
            "timeWindows": Many(window, least=1, most=1),
            "budgetingMethod": _BUDGETING,
            "objectives": Many(
                Record(fields={**_TARGETS, "ratioMetrics": ratio}, required=("target", "value")), least=1
            ),
        },
        required=("service", "timeWindows", "budgetingMethod", "objectives"),
        also=_slices_have_targets,
    )
    return _documents(
        V1ALPHA, metadata, {"SLO": slo, "Service": Record(fields={"description": _DESCRIPTION})}
    )


_WINDOW = Record(
    fields={"duration": _DURATION, "isRolling": _FLAG, "calendar": _CALENDAR}, required=("duration",)
)
_DATA_SOURCE = Record(
    fields={"description": _DESCRIPTION, "type": _TEXT, "connectionDetails": Free()}, required=("type",)
)


def _slo(
    field: str, held: Record, *, services: tuple[str, ...], required: tuple[str, ...], **own: Shape
) -> Record:
    """Return an SLO whose indicator stands in `field`; `own` are more fields of its objectives."""
    indicators: dict[str, Shape] = {field: held, f"{field}Ref": _NAME}
    rivals = (tuple(indicators),)
    objective = Record(
        fields={
            **_TARGETS,
            **indicators,
            "targetPercent": Word(between("0", "100", ends="[)")),
            "compositeWeight": Word(between("0", "Infinity", ends="()")),
            **own,
        },
        one_of=(("target", "targetPercent"),),
        rivals=rivals,
    )
    return Record(
        fields={
            "description": _DESCRIPTION,
            **dict.fromkeys(services, _NAME),
            **indicators,
            "timeWindow": Many(_WINDOW, most=1),
            "budgetingMethod": _BUDGETING,
            "objectives": Many(objective, least=1 if "objectives" in required else 0),
        },
        required=required,
        one_of=(services,) if len(services) > 1 else (),
        rivals=rivals,
        also=_measured,
    )


def _v1() -> dict[str, Record]:
    metadata = Record(
        fields={"name": _NAME, "displayName": _TEXT, "labels": Named(Free()), "annotations": Named(_TEXT)},
        required=("name",),
    )
    source = Record(fields={"metricSourceRef": _NAME, "type": _TEXT, "spec": Free()}, required=("spec",))
    sli = _metric_sli(Record(fields={"metricSource": source}, required=("metricSource",)))
    held = Record(fields={"metadata": metadata, "spec": sli}, required=("spec",))
    required = ("service", "budgetingMethod", "objectives")
    slo = _slo("indicator", held, services=("service",), required=required)
    return _documents(
        V1, metadata, _with_alerts(metadata, {"SLO": slo, "SLI": sli, "DataSource": _DATA_SOURCE})
    )


def _v2alpha() -> dict[str, Record]:
    metadata = Record(
        fields={"name": _NAME, "labels": Named(_TEXT), "annotations": Named(_TEXT)}, required=("name",)
    )
    metric = Record(
        fields={"dataSourceRef": _NAME, "dataSourceSpec": _DATA_SOURCE, "spec": Free()},
        required=("spec",),
        one_of=(("dataSourceRef", "dataSourceSpec"),),
    )
    sli = _metric_sli(metric)
    held = Record(fields={"metadata": metadata, "spec": sli}, required=("spec",))
    # The draft says `service`, its SDK `serviceRef`; the SDK reads objects without objectives too.
    slo = _slo("sli", held, services=("service", "serviceRef"), required=(), labels=Named(_TEXT))
    return _documents(
        V2ALPHA, metadata, _with_alerts(metadata, {"SLO": slo, "SLI": sli, "DataSource": _DATA_SOURCE})
    )


DOCUMENTS: Final[dict[str, dict[str, Record]]] = {V1ALPHA: _v1alpha(), V1: _v1(), V2ALPHA: _v2alpha()}
"""By apiVersion and kind."""
