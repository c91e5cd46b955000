"""Alerts over HTTP: what stands, what was sent, silences, replay, and a test message."""

from __future__ import annotations

import secrets
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from alerts.errors import DeliveryError
from alerts.matchers import Matcher
from alerts.notification import Notification, NotifiedAlert
from alerts.silences import Silence
from service.api.callers import Admin, Reader, TheService
from service.clock import now_us
from service.store.errors import StoreRefused
from service.store.notes import AuditEntry
from service.views import alerts as view
from service.wiring import Service
from telemetry.units import MICROS_PER_SECOND

router = APIRouter(prefix="/api/v1", tags=["alerts"])


class OneMatcher(BaseModel):
    """One test of one label; `operator` is =, !=, =~ or !~."""

    label: str = Field(min_length=1, max_length=200)
    operator: str = "="
    value: str = Field(max_length=500)


class NewSilence(BaseModel):
    """Which alerts (all matchers must pass), for how long, and why."""

    matchers: list[OneMatcher] = Field(min_length=1, max_length=20)
    seconds: int = Field(gt=0, le=30 * 86_400)
    comment: str = Field(default="", max_length=500)


@router.get("/alerts")
def listed(service: TheService, _caller: Reader) -> list[dict[str, Any]]:
    """Return every alert that was ever bad, as it stands."""
    return view.alert_rows(service.evaluator.latest.alerts)


@router.get("/notifications")
def sent(service: TheService, _caller: Reader) -> list[dict[str, Any]]:
    """Return the newest notifications and what became of each."""
    return view.notification_rows(service.state.notifications.listed())


@router.post("/notifications/{notification_id}/replay", status_code=204)
def replay(notification_id: str, service: TheService, caller: Admin) -> None:
    """Send a notification again, under the same id."""
    try:
        service.state.notifications.replay(notification_id, now_us())
    except StoreRefused as error:
        raise HTTPException(404, str(error)) from None
    _audit(service, caller.name, "replay", notification_id)


@router.get("/silences")
def silences(service: TheService, _caller: Reader) -> list[dict[str, Any]]:
    """Return the silences that stand, the one that began first first."""
    return [
        {
            "id": each.id,
            "matchers": [str(matcher) for matcher in each.matchers],
            "starts_at_us": each.starts_at_us,
            "ends_at_us": each.ends_at_us,
            "created_by": each.created_by,
            "comment": each.comment,
        }
        for each in service.state.silences.standing(now_us())
    ]


@router.post("/silences", status_code=201)
def silence(body: NewSilence, service: TheService, caller: Admin) -> dict[str, str]:
    """Hold back notifications that match for a while; what is held back stays listed."""
    matchers = tuple(Matcher(each.label, each.operator, each.value) for each in body.matchers)
    at_us = now_us()
    made = Silence(
        id=f"silence-{secrets.token_hex(6)}",
        matchers=matchers,
        starts_at_us=at_us,
        ends_at_us=at_us + body.seconds * MICROS_PER_SECOND,
        created_by=caller.name,
        comment=body.comment,
    )
    service.state.silences.add(made, now_us=at_us)
    _audit(service, caller.name, "silence", made.id)
    return {"id": made.id}


@router.delete("/silences/{silence_id}", status_code=204)
def expire(silence_id: str, service: TheService, caller: Admin) -> None:
    """End a silence now."""
    if not service.state.silences.expire(silence_id, now_us=now_us()):
        raise HTTPException(404, f"no standing silence has the id {silence_id!r}")
    _audit(service, caller.name, "expire silence", silence_id)


@router.post("/receivers/{name}/test")
def test(name: str, service: TheService, caller: Admin) -> dict[str, Any]:
    """Send a test message to a receiver now, and say how it answered."""
    if name not in service.receiving:
        raise HTTPException(404, f"no receiver is called {name!r}; there are {', '.join(service.receiving)}")
    at_us = now_us()
    _audit(service, caller.name, "test receiver", name)
    try:
        status = service.receiving[name].send(_test_message(name, at_us), at_us)
    except DeliveryError as error:
        return {"delivered": False, "detail": str(error)}
    return {"delivered": True, "detail": f"answered {status}"}


def _test_message(receiver: str, at_us: int) -> Notification:
    alert = NotifiedAlert(
        incident="test",
        fingerprint="0" * 16,
        labels={"alertname": "Test", "severity": "ticket"},
        annotations={"summary": "This is a test: somebody asked whether this receiver is reached."},
        starts_at_us=at_us,
        ends_at_us=None,
    )
    return Notification(
        id=f"msg_test_{secrets.token_hex(8)}",
        lane=f"{receiver}/test",
        receiver=receiver,
        group_key='{}:{alertname="Test"}',
        group_labels={"alertname": "Test"},
        created_at_us=at_us,
        alerts=(alert,),
    )


def _audit(service: Service, who: str, action: str, subject: str) -> None:
    service.state.audit.add(AuditEntry(at_us=now_us(), who=who, action=action, subject=subject, detail={}))
