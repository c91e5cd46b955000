"""Objectives drafted from stored requests, read stride by stride, and written as OpenSLO."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from service.objectives.languages.trees import Plain
from service.objectives.languages.writing import written
from service.objectives.openslo import API_VERSION, GUESS
from service.objectives.sources import EVERY_REQUEST, TYPE, has_one_limit
from service.past.backtesting import RECORD_COLUMNS, History, Progress
from slo.cells import Cells, merge
from slo.durations import written as duration
from slo.objective import Objective
from slo.proposal import COLUMNS, LEAST_REQUESTS, Proposal, counted, proposed
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_SECOND

_COLUMNS: Final = COLUMNS.union(RECORD_COLUMNS)


def propose(
    histories: Sequence[History], range_us: int, *, now_us: int | None = None
) -> Iterator[Progress | Proposal]:
    """Yield how far it is, then what all these datasets together propose.

    The range ends at `now_us`; None = with the last request of each. Memory is bounded by
    a stride, or the busiest minute. Raises `StoreError`.
    """
    sums: list[Cells] = []
    for history in histories:
        for from_us, to_us, share in _strides(history, range_us, now_us):
            told = counted(history.read("requests", _COLUMNS, from_us, to_us))
            sums = [merge(pair) for pair in zip(sums, told, strict=True)] if sums else told
            yield Progress(history.dataset, share)
    yield proposed(sums)


def _strides(history: History, range_us: int, now_us: int | None) -> Iterator[tuple[int, int, float]]:
    """Yield each stride of the range's whole hours, and how much is done with it."""
    span = history.facts.span("requests", history.dataset)
    if span is None:
        return
    to_us = now_us or span[1] + 1
    start_us = max(to_us - range_us, span[0]) // MICROS_PER_HOUR * MICROS_PER_HOUR
    for at_us, until_us in history.strides("requests", start_us, to_us):
        yield at_us, until_us, (until_us - start_us) / (to_us - start_us)


def openslo(proposal: Proposal) -> str:
    """Return the drafts as OpenSLO documents, each marked as a guess; empty text for none."""
    return written([_document(draft.objective) for draft in proposal.drafts]) if proposal.drafts else ""


def sentences(proposal: Proposal) -> list[str]:
    """Return what a person must know of a proposal."""
    told = [
        f"{model}: {requests:,} requests are too few to guess from, {LEAST_REQUESTS:,} are needed"
        for model, requests in proposal.too_few
    ]
    if not proposal.drafts and not told:
        told.append("no request is kept of that time: there is nothing to guess from")
    if proposal.drafts:
        told.append(
            f"{len(proposal.drafts)} guesses: keep those that users would recognise, "
            "and remove the annotation from what you have chosen"
        )
    return told


def _document(objective: Objective) -> dict[str, Plain]:
    promised: dict[str, Plain] = {"target": float(objective.target)}
    limit_us = getattr(objective.indicator, "limit_us", None)
    if limit_us is not None:
        promised = {"op": "lte", "value": limit_us / MICROS_PER_SECOND, **promised}
    return {
        "apiVersion": API_VERSION,
        "kind": "SLO",
        "metadata": {
            "name": objective.name,
            "displayName": objective.display_name,
            "annotations": {GUESS: "true"},
        },
        "spec": {
            "description": objective.description,
            "service": "llm",
            "indicator": {"metadata": {"name": objective.name}, "spec": _indicator(objective)},
            "timeWindow": [{"duration": duration(objective.period_us), "isRolling": True}],
            "budgetingMethod": "Occurrences",
            "objectives": [promised],
        },
    }


def _indicator(objective: Objective) -> dict[str, Plain]:
    asked: dict[str, Plain] = {"indicator": objective.indicator.kind, **dict(objective.selector)}
    source: Plain = {"metricSource": {"type": TYPE, "spec": asked}}
    if has_one_limit(type(objective.indicator)):
        return {"thresholdMetric": source}
    total: Plain = {"metricSource": {"type": TYPE, "spec": {"indicator": EVERY_REQUEST}}}
    return {"ratioMetric": {"counter": True, "good": source, "total": total}}
