"""Our own OpenSLO data source: `metricSource: {type: inferometer, spec: {indicator: ttft, …}}`.

The spec names an indicator, its parameters (the fields of its class in `slo.indicators`),
words that select requests (`model: chat`), and `group_by`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

from service.objectives.mistakes import Place, suggestion
from service.objectives.section import Section
from service.objectives.words import duration
from slo.errors import ObjectiveError
from slo.indicator import Indicator
from slo.indicators import indicators
from telemetry.columns import TABLE, Kind

TYPE: Final = "inferometer"
EVERY_REQUEST: Final = "requests"
"""What the total of a ratio counts: every request that counts at all."""

LIMIT: Final = "limit"
_DURATION_SUFFIX: Final = "_us"


@dataclass(frozen=True, slots=True)
class Source:
    """What a metric source asks for."""

    indicator: Indicator
    selector: tuple[tuple[str, str], ...]
    group_by: tuple[str, ...]
    group_place: Place


def source(metric: Section, limit_us: int | None = None) -> Source | None:
    """Read the metricSource below `metric`; None, noted, when it cannot be judged.

    `limit_us` is a limit that was given elsewhere, as the value of a threshold objective.
    """
    spec = _spec(metric)
    if spec is None:
        return None
    kind = spec.text("indicator")
    if kind is None:
        return None
    known = indicators()
    if kind not in known:
        spec.wrong("indicator", f"no indicator is called {kind!r}", suggestion(kind, tuple(known)))
        return None
    cls = known[kind]
    parameters = _parameters(cls)
    texts = [column.name for column in TABLE[cls.table].columns if column.kind is Kind.TEXT]
    spec.only("indicator", "group_by", *parameters, *texts)
    indicator = _indicator(spec, cls, limit_us)
    group_by = _group_by(spec, texts)
    selector = tuple((name, spec.text(name) or "") for name in texts if spec.has(name))
    return None if indicator is None else Source(indicator, selector, group_by, spec.place("group_by"))


def check_total(metric: Section) -> None:
    """Note a total that is not ours: it must count every request."""
    spec = _spec(metric)
    if spec is not None:
        spec.only("indicator")
        kind = spec.text("indicator")
        if kind not in (None, EVERY_REQUEST):
            hint = f"write indicator: {EVERY_REQUEST}; what narrows the requests belongs to good"
            spec.wrong("indicator", f"a total counts every request, not {kind!r}", hint)


def has_one_limit(cls: type[Indicator]) -> bool:
    """Tell whether an indicator has exactly one limit, so that a threshold can state it."""
    return list(_parameters(cls)) == [LIMIT]


def indicator_of(metric: Section) -> type[Indicator] | None:
    """Return the indicator that a metric source names, without judging the rest of it."""
    found = metric.section("metricSource", required=False)
    spec = found.section("spec", required=False) if found else None
    kind = spec.text("indicator", required=False) if spec else None
    return indicators().get(kind or "")


def _spec(metric: Section) -> Section | None:
    found = metric.section("metricSource")
    if found is None:
        return None
    found.only("metricSourceRef", "type", "spec")
    if (kind := found.text("type")) not in (None, TYPE):
        found.wrong("type", f"metrics of {kind!r} are not judged here", f"write type: {TYPE}")
        return None
    return found.section("spec")


def _parameters(cls: type[Indicator]) -> dict[str, dataclasses.Field[Any]]:
    """Return the parameters of an indicator under the names they have in a file."""
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]  # every indicator is a dataclass
    return {field.name.removesuffix(_DURATION_SUFFIX): field for field in fields}


def _indicator(spec: Section, cls: type[Indicator], limit_us: int | None) -> Indicator | None:
    given = {} if limit_us is None else {f"{LIMIT}{_DURATION_SUFFIX}": limit_us}
    mistaken = False
    for name, field in _parameters(cls).items():
        if spec.has(name) and field.name in given:
            spec.wrong(name, f"the {name} is given twice", "keep it here or as the objective's value")
        elif spec.has(name):
            value = spec.read(name, duration)
            mistaken |= value is None
            given.update({} if value is None else {field.name: value})
        elif field.default is dataclasses.MISSING and field.name not in given:
            mistaken = True
            if spec.lacks(name):
                spec.wrong("indicator", f"{cls.kind} needs a {name}", f"write {name}: 2s beside it")
    try:
        return None if mistaken else cls(**given)
    except ObjectiveError as error:
        spec.wrong(error.subject, error.cause, error.hint)
        return None


def _group_by(spec: Section, texts: list[str]) -> tuple[str, ...]:
    columns = []
    for column, place in spec.words("group_by"):
        if column in texts:
            columns.append(column)
        else:
            spec.notes.wrong(place, f"requests have no text column {column!r}", suggestion(column, texts))
    return tuple(columns)
