"""Live without reload: one event for each evaluation, by server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse

from service.api.callers import Reader, TheService
from service.wiring import Service

router = APIRouter(prefix="/api/v1", tags=["views"])
MOST_LISTENERS: Final = 200
LOOK_SECONDS: Final = 0.5
KEEP_ALIVE_SECONDS: Final = 15.0


@router.get("/stream")
async def stream(request: Request, service: TheService, _caller: Reader) -> StreamingResponse:
    """Return an event stream; each event's data is the instant of an evaluation, in milliseconds."""
    if service.listeners >= MOST_LISTENERS:
        raise HTTPException(503, f"{MOST_LISTENERS} pages are listening already; reload to see new data")
    return StreamingResponse(
        _events(request, service), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


async def _events(request: Request, service: Service) -> AsyncIterator[str]:
    told, quiet = service.evaluator.latest.at_us, 0.0
    service.listeners += 1
    try:
        yield "retry: 2000\n\n"
        while not service.stopping and not await request.is_disconnected():
            await asyncio.sleep(LOOK_SECONDS)
            newest = service.evaluator.latest.at_us
            quiet += LOOK_SECONDS
            if newest != told:
                told, quiet = newest, 0.0
                yield f"data: {newest // 1000}\n\n"
            elif quiet >= KEEP_ALIVE_SECONDS:
                quiet = 0.0
                yield ": still here\n\n"
    finally:
        service.listeners -= 1
