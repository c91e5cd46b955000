"""What the pages show, as JSON: one view a page, each opening with its sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Query, Request

from service.api.callers import Reader, TheService
from service.clock import now_us
from service.counts import LoadedCells
from service.views import alerts, cost, gpus, objectives, overview, requests
from service.views.asking import Asked, ViewError, asked, milliseconds
from service.views.sentences import opening
from service.wiring import Service
from telemetry.units import MICROS_PER_MINUTE, MICROS_PER_SECOND

router = APIRouter(prefix="/api/v1", tags=["views"])
STALE_US: Final = 30 * MICROS_PER_SECOND
Body = dict[str, Any]


def _overview(service: Service, question: Asked) -> Body:
    return overview.view(
        service.facts,
        question,
        service.evaluator.latest,
        ledger_version=service.billing.version,
        currency=service.settings.currency,
    )


def _objectives(service: Service, question: Asked) -> Body:
    latest = service.evaluator.latest
    judgement = objectives.chosen(latest.judgements, question)
    loaded: LoadedCells | None = None
    spenders: list[Body] = []
    if judgement is not None:
        objective = judgement.objective
        first = (question.now_us - objective.period_us) // MICROS_PER_MINUTE
        loaded = service.cells.read(objective.version, MICROS_PER_MINUTE, first)
        if objectives.rows_in(service.facts, question) <= objectives.MOST_ROWS:
            raw = service.facts.frame("requests", from_us=question.from_us, to_us=question.to_us)
            spenders = objectives.spent_by(raw, objective)
    return objectives.view(
        latest,
        question,
        sources=service.objectives.sources,
        cells=loaded.cells if loaded else None,
        spenders=spenders,
    )


def _gpus(service: Service, question: Asked) -> Body:
    states = {replica: life.state.value for replica, life in service.evaluator.latest.states.items()}
    return gpus.view(service.facts, question, states)


def _cost(service: Service, question: Asked) -> Body:
    return cost.view(
        service.facts,
        question,
        ledger_version=service.billing.version,
        currency=service.settings.currency,
        interval_us=service.settings.ledger_interval_seconds * MICROS_PER_SECOND,
    )


def _alerts(service: Service, question: Asked) -> Body:
    state = service.state
    return {
        "currency": service.settings.currency,
        "alerts": alerts.alert_rows(service.evaluator.latest.alerts),
        "notifications": alerts.notification_rows(state.notifications.listed(limit=100)),
        "findings": alerts.finding_rows(state.findings, question),
        "receivers": len(service.receiving),
        "selected": alerts.selected(service.facts, state.findings, state.alerts, question),
    }


VIEWS: Final[Mapping[str, Callable[[Service, Asked], Body]]] = {
    "overview": _overview,
    "objectives": _objectives,
    "gpus": _gpus,
    "requests": lambda service, question: requests.view(service.facts, question),
    "cost": _cost,
    "alerts": _alerts,
}


@router.get("/views/{name}")
def view(
    name: str,
    request: Request,
    service: TheService,
    _caller: Reader,
    range_: Annotated[str, Query(alias="range")] = "1h",
) -> Body:
    """Return a page's columns and rows, with the sentences it opens with.

    Other query parameters are the page's filters. A handful of bounded queries.
    """
    if name not in VIEWS:
        raise HTTPException(404, f"no view is called {name!r}; there are {', '.join(VIEWS)}")
    filters = {key: value for key, value in request.query_params.items() if key != "range"}
    try:
        question = asked(now_us(), range_, filters)
    except ViewError as error:
        raise HTTPException(422, str(error)) from None
    return _head(service, question) | VIEWS[name](service, question)


def _head(service: Service, question: Asked) -> Body:
    """Return what every page opens with: sentences, marks, the age of the newest fact."""
    newest = service.newest_us()
    currency = service.settings.currency
    standing = overview.standing(
        service.evaluator.latest,
        overview.money(service.facts, question, service.billing.version),
        newest_us=newest,
        now_us=question.now_us,
        stale_us=STALE_US,
        currency=currency,
    )
    tone, sentences = opening(standing)
    return {
        "now_ms": milliseconds(question.now_us),
        "newest_ms": milliseconds(newest),
        "tone": tone,
        "sentences": sentences,
        "marks": service.marks(),
    }
