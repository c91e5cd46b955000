"""Corrections over HTTP: times that are left out of counting, who said so, and the history of objectives."""

from __future__ import annotations

import secrets
from typing import Any, Final

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from service.api.callers import Admin, Reader, TheService
from service.api.objectives import VersionAnswer, versions
from service.clock import now_us
from service.counting.correcting import intervals
from service.objectives.corrections import AskedCorrection
from service.objectives.periods import local_time
from service.objectives.recurrence import Recurrence
from service.objectives.section import NotThatError, read
from service.objectives.words import duration
from service.store.corrections import Ending, StoredCorrection
from service.store.notes import AuditEntry
from service.wiring import Service
from slo.corrections import Excluded
from slo.durations import MICROS_PER_DAY, written

router = APIRouter(prefix="/api/v1", tags=["objectives"])
SHOWN_US: Final = 62 * MICROS_PER_DAY
"""How far around now the dated times of a correction are told."""

MOST_TIMES: Final = 20
MOST_STANDING: Final = 1_000
"""Most corrections that stand at once; files may say more."""


class NewCorrection(BaseModel):
    """What to leave out of counting: `bad` requests or `all`, of which objectives (none = all), when and why.

    `start` is a local time of `zone` such as 2026-11-22 02:00, `duration` one such as 2h, `rrule` a
    recurrence of days such as FREQ=WEEKLY;BYDAY=SU (empty = once).
    """

    objectives: list[str] = Field(default=[], max_length=1_000)
    exclude: Excluded = Excluded.ALL
    start: str = Field(max_length=40)
    zone: str = Field(default="UTC", max_length=80)
    duration: str = Field(max_length=20)
    rrule: str = Field(default="", max_length=500)
    why: str = Field(min_length=1, max_length=1_000)


class Ended(BaseModel):
    """Why a correction ends; `withdraw` = it was a mistake, and shall never have left anything out."""

    why: str = Field(min_length=1, max_length=1_000)
    withdraw: bool = False


@router.get("/corrections")
def corrections(service: TheService, _caller: Reader) -> list[dict[str, Any]]:
    """Return every correction there ever was, oldest first, with who, when and why."""
    return [_row(each) for each in service.state.corrections.listed()]


@router.post("/corrections", status_code=201)
def add(body: NewCorrection, service: TheService, caller: Admin) -> dict[str, str]:
    """Leave a time out of counting; every open window is counted anew at the next evaluation."""
    asked = _asked(body, service)
    if sum(each.until_us is None for each in service.state.corrections.listed()) >= MOST_STANDING:
        raise HTTPException(422, f"correct: {MOST_STANDING:,} corrections stand; end those that are over")
    made = asked.stored(f"c-{secrets.token_hex(4)}", by=caller.name, at_us=now_us())
    service.state.corrections.add(made)
    _audit(service, caller.name, "correct", made.id)
    return {"id": made.id}


@router.post("/corrections/{correction_id}/end", status_code=204)
def end(correction_id: str, body: Ended, service: TheService, caller: Admin) -> None:
    """End a correction now, or withdraw it whole; what it says stays on record."""
    at_us = now_us()
    ending = Ending(by=caller.name, at_us=at_us, why=body.why, until_us=0 if body.withdraw else at_us)
    if not service.state.corrections.end(correction_id, ending):
        listed = "`inferometer slo correct list` has all"
        raise HTTPException(404, f"no correction that could be ended has the id {correction_id!r}; {listed}")
    _audit(service, caller.name, "withdraw correction" if body.withdraw else "end correction", correction_id)


@router.get("/objectives/{name}/history")
def history(name: str, service: TheService, _caller: Reader) -> list[VersionAnswer]:
    """Return every version of an objective, also of one that is gone: what it promised, from when to when."""
    found = versions(service, name)
    if not found:
        raise HTTPException(404, f"no objective was ever called {name!r}; `inferometer slo list` has all")
    return found


def _asked(body: NewCorrection, service: Service) -> AskedCorrection:
    for name in body.objectives:
        if service.objectives.find(name) is None:
            hint = "see `inferometer slo status` for those there are"
            raise HTTPException(422, f"objectives: no objective is called {name!r}; {hint}")
    try:
        start, length_us = read("start", body.start, local_time), read("duration", body.duration, duration)
        when = Recurrence(start=start, zone=body.zone, duration_us=length_us, rule=body.rrule)
    except NotThatError as error:
        raise HTTPException(422, str(error)) from None
    return AskedCorrection(objectives=tuple(body.objectives), excluded=body.exclude, when=when, why=body.why)


def _row(stored: StoredCorrection) -> dict[str, Any]:
    at_us = now_us()
    times = intervals(stored, at_us - SHOWN_US, at_us + SHOWN_US)[:MOST_TIMES]
    return {
        "id": stored.id,
        "objectives": stored.objectives,
        "exclude": stored.excluded,
        "start": stored.start,
        "zone": stored.zone,
        "duration": written(stored.duration_us),
        "rrule": stored.rule,
        "why": stored.why,
        "source": stored.source,
        "created_by": stored.created_by,
        "created_at_us": stored.created_at_us,
        "state": _state(stored),
        "ended_by": stored.ended_by,
        "ended_at_us": stored.ended_at_us,
        "ended_why": stored.ended_why,
        "times_us": [[each.from_us, each.to_us] for each in times],
    }


def _state(stored: StoredCorrection) -> str:
    if stored.until_us is None:
        return "stands"
    return "ended" if stored.until_us else "withdrawn"


def _audit(service: Service, who: str, action: str, subject: str) -> None:
    service.state.audit.add(AuditEntry(at_us=now_us(), who=who, action=action, subject=subject, detail={}))
