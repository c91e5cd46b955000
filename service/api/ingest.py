"""The door for batches: authenticate, bound, validate whole, journal, acknowledge."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from journal import JournalError, JournalFull, Outcome, Sealed
from service.api.callers import Agent, TheService
from service.clock import now_us
from service.ingest.decode import Decoded, decode
from service.wiring import Service
from telemetry.identity import Origin
from telemetry.wire import MAX_BODY_BYTES, WireError

router = APIRouter(prefix="/api/v1", tags=["ingest"])
MAX_RECEIVING_BYTES: Final = 256 * 1024 * 1024
"""Bodies being received and checked at one time; beyond it agents are asked to wait."""
DECODES_AT_ONCE: Final = 4
"""One may take 128 MiB when it is decompressed."""
BODY_SECONDS: Final = 30.0


class Receipt(BaseModel):
    """The acknowledgement of a batch: it survives a kill and a power cut from here on."""

    outcome: str
    """`stored`, or `duplicate` for one that was here before and changed nothing."""
    received_at_us: int
    """The service's clock, UTC microseconds: agents measure their offset by it."""


class Door:
    """How much is being received now. Belongs to the event loop."""

    def __init__(self) -> None:
        self.decoding = asyncio.Semaphore(DECODES_AT_ONCE)
        self._bytes = 0

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Hold room for a body. Raises `JournalFull` when too much is being received already."""
        if self._bytes + size > MAX_RECEIVING_BYTES:
            raise JournalFull(f"{self._bytes:,} bytes are being received", retry_after_seconds=1)
        self._bytes += size
        try:
            yield
        finally:
            self._bytes -= size


async def the_door(request: Request) -> Door:
    """Return the door of this app, made at the first batch."""
    state = request.app.state
    if not hasattr(state, "door"):
        state.door = Door()
    door: Door = state.door
    return door


TheDoor = Annotated[Door, Depends(the_door)]


@router.post("/batches", status_code=202)
async def receive(request: Request, service: TheService, caller: Agent, door: TheDoor) -> Receipt:
    """Take one batch: a body as `inferometer agent` makes it, its tables as in docs/facts.md.

    Anything wrong is refused whole, naming table, column and row. 429 and 503 ask to offer the
    same batch again after `Retry-After`: nothing of it was kept.
    """
    try:
        with door.room(_announced(request)):
            return await _take(await _body(request), service, caller.name, door)
    except JournalError:
        service.tally.add("batches", "put_off")
        raise
    except (WireError, HTTPException):
        service.tally.add("batches", "refused")
        raise


async def _take(body: bytes, service: Service, agent: str, door: Door) -> Receipt:
    at_us = now_us()
    async with door.decoding:
        decoded = await run_in_threadpool(decode, body, now_us=at_us)
    _refuse_imports(decoded)
    header = decoded.header
    sealed = Sealed(agent=agent, boot=header.boot, seq=header.seq, received_at_us=at_us, body=body)
    outcome = await asyncio.wrap_future(service.journal.append(sealed))
    if outcome is Outcome.STORED:
        service.recent.remember(agent, decoded)
        _count_rows(service, decoded)
    service.tally.add("batches", outcome)
    service.seen.note(agent, decoded, at_us)
    return Receipt(outcome=outcome, received_at_us=at_us)


def _announced(request: Request) -> int:
    """Return how large the body will be at most. Raises 413 for one announced as too large."""
    text = request.headers.get("content-length")
    size = int(text) if text is not None else MAX_BODY_BYTES
    if size > MAX_BODY_BYTES:
        raise HTTPException(413, _too_large(size))
    return size


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > MAX_BODY_BYTES:
                    raise HTTPException(413, _too_large(size))
                parts.append(part)
    except TimeoutError:
        raise HTTPException(408, f"body: not whole after {BODY_SECONDS:g} s; send it again") from None
    except ClientDisconnect:
        raise HTTPException(400, "body: the connection ended before it did; send it again") from None
    return b"".join(parts)


def _too_large(size: int) -> str:
    return f"body: {size:,} bytes, at most {MAX_BODY_BYTES:,} are taken; seal smaller batches"


def _refuse_imports(decoded: Decoded) -> None:
    """Imported facts have any event time and are no live counts: they do not come by this door."""
    if decoded.header.origin is Origin.IMPORTED or decoded.header.dataset:
        raise WireError("header.origin: imported facts are not taken here; use `inferometer import --into`")


def _count_rows(service: Service, decoded: Decoded) -> None:
    service.tally.add("unknown_columns", amount=decoded.ignored.columns)
    service.tally.add("unknown_tables", amount=decoded.ignored.tables)
    for name, table in decoded.tables.items():
        service.tally.add("rows", name, table.num_rows)
