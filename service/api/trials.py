"""An objective tried on the past with another threshold or target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from dashboards.pages import USUAL_RANGE
from service.api.callers import Reader, TheService
from service.api.histories import Dataset, history_of
from service.clock import now_us
from service.objectives.rewriting import moved as rewritten
from service.objectives.section import NotThatError
from service.objectives.words import duration, number, percent
from service.past.trying import Move, TrialError, moved, numbers
from service.views import trials
from service.views.asking import Asked, ViewError, asked
from service.wiring import Service
from slo.objective import Objective

router = APIRouter(prefix="/api/v1", tags=["objectives"])


@router.get("/objectives/{name}/trial")
def trial(
    name: str,
    service: TheService,
    _caller: Reader,
    move: Annotated[list[str], Query(description="a limit moved: limit=1.5s, ttft=800ms, value=85")] = [],  # noqa: B006 - FastAPI copies it
    target: Annotated[str | None, Query(description="percent, such as 99.5; none = as it is")] = None,
    *,
    range_: Annotated[str, Query(alias="range")] = USUAL_RANGE,
    to: Annotated[str | None, Query(description="ISO 8601 end of the range; none = now")] = None,
    dataset: Dataset = "",
    group: Annotated[str | None, Query(description="one group; none = all together")] = None,
) -> dict[str, Any]:
    """Return what the objective would have made of a range: compliance, burn alerts, and its document.

    Stored facts are judged anew, each one, so it equals a recount; what corrections leave out stays
    out. Nothing is kept or changed.
    """
    known = service.objectives.find(name)
    if known is None:
        raise HTTPException(404, f"no objective called {name!r} is in force; `inferometer slo list` has all")
    try:
        wanted = _moves(known.objective, move, target)
        objective, silent = moved(known.objective, wanted)
        question = _question(service, range_, to, dataset)
    except (NotThatError, TrialError, ViewError) as error:
        raise HTTPException(422, str(error)) from None
    history = history_of(service, dataset)
    found = service.imports.trying.trial(
        history, objective, from_us=question.from_us, to_us=question.to_us, silent=silent
    )
    document = rewritten(
        known.document, limits_us=wanted.limits_us, numbers=wanted.numbers, target=wanted.target
    )
    return trials.view(found, question, group, document)


def _question(service: Service, range_: str, to: str | None, dataset: str) -> Asked:
    question = asked(now_us(), range_, {}, to=to, vantages=service.settings.vantages)
    return service.imports.question(question, dataset) if dataset else question


def _moves(objective: Objective, texts: Sequence[str], target: str | None) -> Move:
    limits_us, moved_numbers, plain = {}, {}, numbers(objective)
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise NotThatError(f"move {text!r}", "write a limit and its value such as limit=1.5s")
        if name in plain:
            moved_numbers[name] = number(value)
        else:
            limits_us[name] = duration(value)
    wanted = None if target is None else percent(target)
    return Move(limits_us=limits_us, numbers=moved_numbers, target=wanted)
