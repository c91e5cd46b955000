"""Our own OpenSLO data source: `metricSource: {type: inferometer, spec: {indicator: ttft, …}}`.

The spec names an indicator, its parameters (the fields of its class in `slo.indicators`),
words that select facts of its table (`model: chat`), and `group_by`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from service.objectives.mistakes import Place, suggestion
from service.objectives.parameters import Parameter, parameters
from service.objectives.section import Section
from slo.errors import ObjectiveError
from slo.indicator import Indicator
from slo.indicators import indicators
from telemetry.columns import TABLE, Kind

TYPE: Final = "inferometer"
EVERY_REQUEST: Final = "requests"
"""What the total of a ratio counts, unless its indicator counts in another unit."""

LIMIT: Final = "limit"
LIMIT_FIELD: Final = "limit_us"


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
    texts = [column.name for column in TABLE[cls.table].columns if column.kind is Kind.TEXT]
    spec.only("indicator", "group_by", *(parameter.name for parameter in parameters(cls)), *texts)
    indicator = _indicator(spec, cls, limit_us)
    group_by = _group_by(spec, cls.table, texts)
    selector = tuple((name, spec.text(name) or "") for name in texts if spec.has(name))
    return None if indicator is None else Source(indicator, selector, group_by, spec.place("group_by"))


def check_total(metric: Section, of: type[Indicator] | None) -> None:
    """Note a total that is not ours: it must count all that the indicator of `good` counts."""
    spec = _spec(metric)
    if spec is not None:
        spec.only("indicator")
        kind, unit = spec.text("indicator"), of.unit if of else EVERY_REQUEST
        if kind not in (None, unit):
            hint = f"write indicator: {unit}; what narrows them belongs to good"
            spec.wrong("indicator", f"the total counts all {unit}, not {kind!r}", hint)


def has_one_limit(cls: type[Indicator]) -> bool:
    """Tell whether a limit is all that an indicator needs, so that a threshold can state it."""
    return [parameter.name for parameter in parameters(cls) if parameter.required] == [LIMIT]


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


def _indicator(spec: Section, cls: type[Indicator], limit_us: int | None) -> Indicator | None:
    given: dict[str, object] = {} if limit_us is None else {LIMIT_FIELD: limit_us}
    read = [_read(spec, cls, parameter, given) for parameter in parameters(cls)]
    try:
        return cls(**given) if all(read) else None
    except ObjectiveError as error:
        spec.wrong(error.subject, error.cause, error.hint)
        return None


def _read(spec: Section, cls: type[Indicator], parameter: Parameter, given: dict[str, object]) -> bool:
    """Add what is written of one parameter to what is given; false = mistaken, and noted."""
    name = parameter.name
    if not spec.has(name):
        missing = parameter.required and parameter.field not in given
        if missing and spec.lacks(name):
            spec.wrong(
                "indicator",
                f"the {name} of {cls.kind} is missing",
                f"write {name}: {parameter.example} beside it",
            )
        return not missing
    if parameter.field in given:
        spec.wrong(name, f"the {name} is given twice", "keep it here or as the objective's value")
        return True
    value = spec.read(name, parameter.read)
    given[parameter.field] = value
    return value is not None


def _group_by(spec: Section, table: str, texts: list[str]) -> tuple[str, ...]:
    columns = []
    for column, place in spec.words("group_by"):
        if column in texts:
            columns.append(column)
        else:
            spec.notes.wrong(place, f"{table} have no text column {column!r}", suggestion(column, texts))
    return tuple(columns)
