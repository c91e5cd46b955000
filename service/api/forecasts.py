"""When budgets will be spent, as an interval."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query

from service.api.callers import Reader, TheService
from service.clock import now_us
from service.past.foresight import MOST_GROUPS, band, foresee, row
from service.store.facts import Facts
from service.views.promises import budget_left
from slo.evaluate import Judgement

router = APIRouter(prefix="/api/v1", tags=["objectives"])


@router.get("/forecasts")
def forecasts(
    service: TheService,
    _caller: Reader,
    objective: Annotated[str, Query(description="only this objective; none = every one")] = "",
    more: Annotated[
        Literal["", "band"], Query(alias="with", description="band = also the share left in time to come")
    ] = "",
) -> list[dict[str, Any]]:
    """Return when each budget will be spent: earliest, likely and latest, UTC microseconds.

    Four in five times it is between earliest and latest; null = not within one period from now
    (of a calendar period: before it ends). Groups that were seen for under five hours are not
    there; of many, the 200 with the least budget left are. A query an objective.
    """
    return [
        each
        for judgement in service.evaluator.latest.judgements
        if objective in ("", judgement.objective.name)
        for each in _rows(service.facts, judgement, with_band=more == "band")
    ]


def _rows(facts: Facts, judgement: Judgement, *, with_band: bool) -> Iterator[dict[str, Any]]:
    order = np.argsort(budget_left(judgement), kind="stable")[:MOST_GROUPS]
    keys = [judgement.counts.keys[at] for at in order]
    for key, made in foresee(facts, judgement.objective, keys, now_us()).items():
        named = {"objective": judgement.objective.name, "group": " / ".join(key), **row(made)}
        yield named | ({"band": band(made)} if with_band else {})
