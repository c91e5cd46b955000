"""The HTTP application: routers put together, nothing else."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from fastapi import FastAPI
from fastapi.middleware.gzip import GZipMiddleware

from service.api import (
    alerts,
    backtests,
    corrections,
    errors,
    fleet,
    forecasts,
    health,
    ingest,
    objectives,
    pages,
    session,
    stream,
    trials,
    views,
)
from service.wiring import Service

ROUTERS: Final = (
    ingest,
    health,
    pages,
    session,
    stream,
    views,
    alerts,
    fleet,
    backtests,
    corrections,
    forecasts,
    objectives,
    trials,
)


def create_app(service: Service) -> FastAPI:
    """Return the application of an opened service."""
    app = FastAPI(
        title="Inferometer",
        version=version("inferometer"),
        description="Utilization, SLO burn, cost and anomalies of LLM inference on GPUs.",
        docs_url=None,  # they come from another host; docs/api.md says the same
        redoc_url=None,
    )
    app.state.service = service
    app.add_middleware(GZipMiddleware, minimum_size=2_000, compresslevel=4)
    errors.install(app)
    for part in ROUTERS:
        app.include_router(part.router)
    return app
