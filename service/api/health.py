"""Whether the service is up, whether it can be believed, and its own metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from service.api.callers import Reader, TheService
from service.own_metrics import CONTENT_TYPE

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """`ok` false = judgement cannot be relied on now; `reasons` say why.

    `notes` say what a person should know although it can be: a file of objectives with a mistake,
    an objective that is still being counted.
    """

    ok: bool
    reasons: list[str]
    notes: list[str]


@router.get("/health")
def health(service: TheService, response: Response) -> Health:
    """Return 200 while everything moves, 503 with the reasons when something stands still.

    Never says ok because the process merely answers: threads must live and evaluations be young.
    """
    reasons = service.vitals.complaints()
    response.status_code = 503 if reasons else 200
    return Health(ok=not reasons, reasons=reasons, notes=service.vitals.notes())


@router.get("/metrics")
def metrics(service: TheService) -> Response:
    """Return the service's own metrics as Prometheus text."""
    return Response(service.metrics.page(), media_type=CONTENT_TYPE)


@router.get("/metrics/slo")
def slo_metrics(service: TheService, _: Reader) -> Response:
    """Return what the objectives count, by their groups, as Prometheus counters.

    A page of its own: its labels name tenants, so that a token is asked for.
    """
    return Response(service.slo_counters.page(), media_type=CONTENT_TYPE)
