"""What the pages show, as JSON: one view a page, each opening with its sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException, Query, Request

from dashboards.pages import USUAL_RANGE
from service.alerting.finding_rows import known
from service.api.callers import Reader, TheService
from service.api.objectives import counting, versions
from service.clock import now_us
from service.past.foresight import band, foresee, row
from service.past.imports import short_name
from service.past.trying import movable, numbers
from service.views import (
    alerts,
    cost,
    fleet,
    gpus,
    moments,
    objectives,
    one_request,
    overview,
    promises,
    requests,
)
from service.views.asking import Asked, ViewError, asked, milliseconds
from service.views.recent import Recent
from service.views.sentences import Opening, Tone, unheard
from service.wiring import Service
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_SECOND

router = APIRouter(prefix="/api/v1", tags=["views"])
STALE_US: Final = 30 * MICROS_PER_SECOND
ENDED_LATELY: Final = 5
"""Findings of the last hour that are over, shown beside those that are open."""
COMMON: Final = frozenset({"range", "to", "compare"})
"""What every view is asked; all else are a view's own filters."""
Body = dict[str, Any]


def _fleet(service: Service) -> fleet.Known:
    at_us = now_us()
    latest = service.evaluator.latest
    return fleet.Known(
        gpu_samples=service.live.frame("gpu_samples", at_us - fleet.HEARD_US, at_us + MICROS_PER_HOUR),
        frame=latest.frame,
        states=latest.states,
        expected=[gpu.gpu_uuid for gpu in service.state.fleet.expected()],
    )


def _present(service: Service) -> overview.Present:
    at_us = now_us()
    lately = service.state.findings.between(at_us - MICROS_PER_HOUR, at_us)
    ended = [known(row) for row in reversed(lately) if row.ended_at_us is not None]
    return overview.Present(
        evaluation=service.evaluator.latest,
        fleet=_fleet(service),
        ended=ended[:ENDED_LATELY],
        ledger_version=service.billing.version,
        currency=service.settings.currency,
    )


def _overview(service: Service, question: Asked) -> tuple[Opening, Body]:
    opening, body = overview.view(service.facts, question, _present(service))
    return opening, body | _charts(question, partial(overview.charts, service.facts))


def _objectives(service: Service, question: Asked) -> tuple[Opening, Body]:
    latest = service.evaluator.latest
    if question.dataset:
        judged = service.imports.judged(question.dataset, service.objectives.objectives, question.to_us)
        latest = replace(latest, judgements=judged)
    one = objectives.chosen(latest.judgements, question)
    detail = None
    if one is not None:
        detail = objectives.detailed(service.facts, question, one) | _standing(service, question, one)
    opening, body = objectives.view(latest, question, one, detail)
    body |= {
        "datasets": service.imports.names(),
        "tries_unasked": one is not None and objectives.few(service.facts, question, one),
        "counting": counting(service),
        "mistakes": [str(mistake) for mistake in service.in_force.mistakes],
    }
    return opening, body | _charts(question, lambda asked_: objectives.charts(service.facts, asked_, one))


def _standing(service: Service, question: Asked, one: objectives.Chosen) -> Body:
    """Return where one objective comes from, since when, what can be moved, and what is to come."""
    name = one.objective.name
    written = service.objectives.find(name)
    keys = [] if one.verdict is None or question.pinned else [one.verdict.group]
    forecast = next(iter(foresee(service.facts, one.objective, keys, question.now_us).values()), None)
    return {
        "source": "" if written is None else written.source,
        "versions": [
            {
                "version": each.version,
                "promise": each.promise,
                "from_ms": milliseconds(each.from_us),
                "to_ms": milliseconds(each.to_us),
            }
            for each in versions(service, name)
        ],
        "movable": movable(one.objective),
        "numbers": {name: float(at) for name, at in numbers(one.objective).items()},
        "target": f"{one.objective.target * 100:f}",
        "forecast": None if forecast is None else row(forecast) | {"band": band(forecast)},
    }


def _gpus(service: Service, question: Asked) -> tuple[Opening, Body]:
    causes = [overview.cause(each) for each in overview.by_weight(service.evaluator.latest.findings)]
    opening, body = gpus.view(service.facts, question, _fleet(service), causes)
    return opening, body | _charts(question, partial(gpus.charts, service.facts))


def _requests(service: Service, question: Asked) -> tuple[Opening, Body]:
    standing = promises.tally(service.evaluator.latest.judgements)
    tone = Tone.PLAIN if question.pinned else standing.tone
    opening, body = requests.view(service.facts, question, tone)
    body["selected"] = one_request.view(service.facts, question)
    return opening, body | _charts(question, partial(requests.charts, service.facts))


def _cost(service: Service, question: Asked) -> tuple[Opening, Body]:
    book = cost.Book(
        ledger_version=service.billing.version,
        interval_us=service.settings.ledger_interval_seconds * MICROS_PER_SECOND,
        prices=service.billing.prices(),
        models={gpu.gpu_uuid: gpu.gpu_model for gpu in service.state.fleet.expected()},
        nano_per_kwh=service.settings.nano_per_kwh,
    )
    opening, body = cost.view(service.facts, question, book, compare="compare" in question.filters)
    return opening, body | {"charts": cost.charts(service.facts, question, book), "before": None}


def _alerts(service: Service, question: Asked) -> tuple[Opening, Body]:
    state, standing = service.state, service.evaluator.latest.alerts
    sent = state.notifications.listed(limit=100)
    receivers = len(service.receiving)
    group_by = {each.name: each.group_by for each in service.objectives.objectives}
    body = {
        "currency": service.settings.currency,
        "alerts": alerts.alert_rows(standing),
        "notifications": alerts.notification_rows(sent),
        "findings": [overview.finding(each) for each in alerts.finding_rows(state.findings, question)],
        "silences": alerts.silence_rows(state.silences.standing(question.now_us)),
        "receivers": receivers,
        "selected": alerts.selected(service.facts, state.findings, state.alerts, question),
        "named": alerts.named(state.alerts, standing, question, group_by=group_by),
    }
    return alerts.opening(standing, sent, question, receivers=receivers), body


VIEWS: Final[Mapping[str, Callable[[Service, Asked], tuple[Opening, Body]]]] = {
    "overview": _overview,
    "objectives": _objectives,
    "gpus": _gpus,
    "requests": _requests,
    "cost": _cost,
    "alerts": _alerts,
}


def _charts(question: Asked, find: Callable[[Asked], Body]) -> Body:
    """Return the charts' columns, and those of the period before when the address compares."""
    before = find(question.before()) if "compare" in question.filters else None
    return {"charts": find(question), "before": before}


@router.get("/views/{name}")
def view(
    name: str,
    request: Request,
    service: TheService,
    _caller: Reader,
    range_: Annotated[str, Query(alias="range")] = USUAL_RANGE,
    to: Annotated[str | None, Query(description="ISO 8601 end of the range; none = now")] = None,
) -> Body:
    """Return a page's columns and rows, with the sentences it opens with.

    `compare` adds the period before; other query parameters are the page's filters. A handful
    of bounded queries, answered from memory until the next evaluation.
    """
    if name not in VIEWS:
        raise HTTPException(404, f"no view is called {name!r}; there are {', '.join(VIEWS)}")
    filters = {key: value for key, value in request.query_params.items() if key not in COMMON - {"compare"}}
    try:
        question = asked(now_us(), range_, filters, to=to, vantages=service.settings.vantages)
        if "dataset" in filters:
            question = service.imports.question(question, filters["dataset"])
    except ViewError as error:
        raise HTTPException(422, str(error)) from None
    key = (name, range_, to, frozenset(filters.items()))
    stamp = service.evaluator.latest.at_us
    head = {"now_ms": milliseconds(now_us()), "newest_ms": milliseconds(service.newest_us())}
    return _recent(request).get(key, stamp, lambda: _answer(service, question, name)) | head


def _recent(request: Request) -> Recent[Body]:
    """Return what this app remembers of its answers."""
    state = request.app.state
    if not hasattr(state, "recent_views"):
        state.recent_views = Recent()
    recent: Recent[Body] = state.recent_views
    return recent


def _answer(service: Service, question: Asked, name: str) -> Body:
    opening, body = VIEWS[name](service, question)
    silence = unheard(service.newest_us(), question.now_us, STALE_US)
    if silence is not None and not question.pinned:
        opening = Opening(silence.tone, [*silence.sentences, *opening.sentences])
    marks = service.marks()
    if question.dataset:
        marks.append(f"IMPORTED: {short_name(question.dataset)}, judged by the objectives in force now")
    elif question.pinned:
        marks.append("LOOKING BACK: promises, fleet and alerts are as they stand now")
    in_range = alerts.finding_rows(service.state.findings, question)
    return {
        "tone": opening.tone,
        "sentences": [sentence.to_json() for sentence in opening.sentences],
        "marks": marks,
        "stale_ms": milliseconds(STALE_US),
        "from_ms": milliseconds(question.from_us),
        "to_ms": milliseconds(question.to_us),
        "shift_ms": milliseconds(question.shift_us),
        "moments": moments.view(service.facts, question, in_range),
        **body,
    }
