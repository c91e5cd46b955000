"""Which error becomes which HTTP status: one table, and a body that names the cause."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from alerts.errors import ConfigurationError
from journal.errors import JournalError, JournalFull
from service.objectives.mistakes import ObjectiveFileError
from service.store.errors import StoreError, StoreRefused
from telemetry.wire import WireError, WireVersionError

RETRY_SECONDS: Final = 5
STATUS: Final[tuple[tuple[type[Exception], int], ...]] = (
    (JournalFull, 429),
    (JournalError, 503),
    (StoreRefused, 422),
    (StoreError, 503),
    (WireVersionError, 426),
    (WireError, 422),
    (ConfigurationError, 422),
    (ObjectiveFileError, 422),
    (Exception, 500),
)
"""The nearest class of an error decides."""
FAULT: Final = "the service has a fault; its log says which"


def install(app: FastAPI) -> None:
    """Make the app answer every error by the table, as `{"detail": ...}`."""
    for kind, status in STATUS:
        app.add_exception_handler(kind, _handler(status))


def _handler(status: int) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def answer(_request: Request, error: Exception) -> JSONResponse:
        headers = {}
        if isinstance(error, JournalFull):
            headers["Retry-After"] = str(max(1, round(error.retry_after_seconds)))
        elif status == 503:
            headers["Retry-After"] = str(RETRY_SECONDS)
        body: dict[str, object] = {"detail": FAULT if status == 500 else str(error)}
        if isinstance(error, ObjectiveFileError):
            body["mistakes"] = [asdict(each) for each in error.mistakes]
        return JSONResponse(body, status_code=status, headers=headers)

    return answer
