"""Fleets, prices and requests for the cost tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cost.classes import InstanceState
from cost.fleet import Coefficients, Gpu, Holding, Instance, StateSpan
from cost.prices import Price, PriceBook
from cost.requests import Requests
from telemetry.frame import Frame
from telemetry.requests import RequestRecord, Status

SECOND = 1_000_000


@pytest.fixture(scope="session")
def make_request() -> Callable[..., RequestRecord]:
    """Return a maker of request records: seconds in, a record of replica `r` out."""

    def make(name: str, start: float, end: float, **fields) -> RequestRecord:
        started, ended = round(start * SECOND), round(end * SECOND)
        defaults = {
            "tenant": "acme",
            "model": "m",
            "replica": "r",
            "status": Status.OK,
            "queue_us": 0,
            "ttft_us": max((ended - started) // 4, 1),
            "prompt_tokens": 100,
            "output_tokens": 20,
        }
        timed = {"started_at_us": started, "ended_at_us": ended, "e2e_us": ended - started}
        return RequestRecord(request_id=name, **timed, **(defaults | fields))

    return make


@pytest.fixture(scope="session")
def demand() -> Callable[..., Requests]:
    """Return a maker of demand from records; `missed` names the requests that broke a limit."""

    def make(records, missed=()) -> Requests:
        marks = np.array([record.request_id in missed for record in records], dtype=np.bool_)
        return Requests.of(Frame.of("requests", records), marks)

    return make


@pytest.fixture(scope="session")
def replica() -> Callable[..., Instance]:
    """Return a maker of an instance that is ready for the first 1,000 seconds."""

    def make(name="r", gpus=("GPU-a",), states=None, **fields) -> Instance:
        ready = (StateSpan(0, 1_000 * SECOND, InstanceState.READY),)
        return Instance(
            name=name,
            holdings=tuple(Holding(Gpu(gpu, "A10")) if isinstance(gpu, str) else gpu for gpu in gpus),
            states=ready if states is None else states,
            coefficients=fields.pop("coefficients", Coefficients()),
            **fields,
        )

    return make


@pytest.fixture(scope="session")
def a10() -> PriceBook:
    """Return a book with one price: an A10 at 1.10 an hour."""
    return PriceBook((Price(selector="A10", nano_per_hour=1_100_000_000),))
