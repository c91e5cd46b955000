"""Which error becomes which HTTP status: one table, and a body that names the cause."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from journal.errors import JournalClosed, JournalFault, JournalFull
from telemetry.wire import WireError, WireVersionError

STATUS: Final[tuple[tuple[type[Exception], int], ...]] = (
    (JournalFull, 429),
    (JournalFault, 503),
    (JournalClosed, 503),
    (WireVersionError, 426),
    (WireError, 422),
)


def install(app: FastAPI) -> None:
    """Make the app answer every known error by the table."""
    for kind, status in STATUS:
        app.add_exception_handler(kind, _handler(status))


def _handler(status: int) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def answer(_request: Request, error: Exception) -> JSONResponse:
        headers = {}
        if isinstance(error, JournalFull):
            headers["Retry-After"] = str(max(1, round(error.retry_after_seconds)))
        elif status == 503:
            headers["Retry-After"] = "5"
        return JSONResponse({"detail": str(error)}, status_code=status, headers=headers)

    return answer
