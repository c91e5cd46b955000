"""The door for batches: authenticate, bound, validate whole, journal, acknowledge."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from journal import Outcome, Sealed
from service.api.callers import Agent, TheService
from service.clock import now_us
from service.ingest.decode import Decoded, decode
from service.wiring import Service
from telemetry.wire import MAX_BODY_BYTES, WireError

router = APIRouter(prefix="/api/v1", tags=["ingest"])


class Receipt(BaseModel):
    """The acknowledgement of a batch: it survives a kill and a power cut from here on."""

    outcome: str
    """`stored`, or `duplicate` for one that was here before and changed nothing."""
    received_at_us: int
    """The service's clock, UTC microseconds: agents measure their offset by it."""


@router.post("/batches", status_code=202)
async def receive(request: Request, service: TheService, caller: Agent) -> Receipt:
    """Take one batch (see docs/facts.md). 422 names what is wrong with it and where."""
    at_us = now_us()
    body = await _bounded(request)
    try:
        decoded = await run_in_threadpool(decode, body, now_us=at_us)
    except WireError:
        service.tally.add("batches", "refused")
        raise
    sealed = Sealed(
        agent=caller.name,
        boot=decoded.header.boot,
        seq=decoded.header.seq,
        received_at_us=at_us,
        body=body,
    )
    outcome = await asyncio.wrap_future(service.journal.append(sealed))
    if outcome is Outcome.STORED:
        service.recent.remember(caller.name, decoded)
    _count(service, decoded, outcome)
    service.heard(caller.name, decoded.header, at_us)
    return Receipt(outcome=outcome, received_at_us=at_us)


async def _bounded(request: Request) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise HTTPException(413, _too_large(int(announced)))
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise HTTPException(413, _too_large(size))
        parts.append(part)
    return b"".join(parts)


def _too_large(size: int) -> str:
    return f"body: {size:,} bytes, at most {MAX_BODY_BYTES:,} are taken; seal smaller batches"


def _count(service: Service, decoded: Decoded, outcome: str) -> None:
    service.tally.add("batches", outcome)
    service.tally.add("unknown_columns", amount=decoded.ignored.columns)
    for name, table in decoded.tables.items():
        service.tally.add("rows", name, table.num_rows)
