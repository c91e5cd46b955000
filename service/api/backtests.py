"""Asking the past: when objectives would have alerted, and which ones the traffic suggests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Annotated, Final

from fastapi import APIRouter, Body, HTTPException, Query
from fastapi.responses import StreamingResponse

from service.api.callers import Reader, TheService
from service.api.histories import Dataset, history_of
from service.clock import now_us
from service.objectives.files import parse
from service.objectives.located import MAX_BYTES
from service.objectives.mistakes import ObjectiveFileError
from service.objectives.section import NotThatError
from service.objectives.words import duration
from service.past import proposing
from service.past.backtesting import LONGEST_RANGE_US, Backtest, History, backtest
from service.store.errors import StoreError
from slo.durations import written
from slo.objective import Objective
from slo.proposal import Proposal

router = APIRouter(prefix="/api/v1", tags=["objectives"])
LINES: Final = "application/x-ndjson"
_one_at_a_time: Final = threading.Lock()


@router.post("/backtests")
def post(
    service: TheService,
    _caller: Reader,
    text: Annotated[str, Body(media_type="application/yaml", max_length=MAX_BYTES)],
    range_: Annotated[str, Query(alias="range")] = "30d",
    dataset: Dataset = "",
) -> StreamingResponse:
    """Answer line by line, each a JSON object: `progress` 0..1 of an `objective`, then its `backtest`.

    The body is a file of objectives. Nothing is kept of it. The range ends now, that of an import with
    its last fact. One such question at a time; 422 for a file with mistakes, 429 while another is
    being answered.
    """
    try:
        objectives = parse(text, "body")
    except ObjectiveFileError as error:
        raise HTTPException(422, str(error)) from None
    range_us, history = asked_range(range_), history_of(service, dataset)
    _take_turn()
    return StreamingResponse(_lines(history, objectives, range_us), media_type=LINES)


@router.post("/proposals")
def propose(
    service: TheService,
    _caller: Reader,
    range_: Annotated[str, Query(alias="range")] = "7d",
    dataset: Dataset = "",
) -> StreamingResponse:
    """Draft objectives from the requests of the last days, line by line: `progress`, then a `proposal`.

    The proposal is a text of OpenSLO documents, each marked as a guess, with the `sentences` a person
    must read. Nothing is kept of it, nor put in force. 429 while another question is being answered.
    """
    range_us, history = asked_range(range_), history_of(service, dataset)
    _take_turn()
    return StreamingResponse(_proposed(history, range_us), media_type=LINES)


def _take_turn() -> None:
    if not _one_at_a_time.acquire(blocking=False):
        raise HTTPException(429, "another question about the past is being answered; ask when it is done")


def asked_range(text: str) -> int:
    """Return a range in microseconds; 422 for what is none, or longer than facts are kept."""
    try:
        range_us = duration(text)
    except NotThatError as error:
        raise HTTPException(422, f"range: {error}") from None
    if not 0 < range_us <= LONGEST_RANGE_US:
        longest = written(LONGEST_RANGE_US)
        raise HTTPException(422, f"range: {text} is not up to {longest}; facts are kept so long: write 30d")
    return range_us


def _end_us(history: History) -> int | None:
    """Return where a range ends: now, or (None) with the last fact of an import."""
    return None if history.dataset else now_us()


def _lines(history: History, objectives: tuple[Objective, ...], range_us: int) -> Iterator[str]:
    try:
        for told in backtest(history, objectives, range_us, now_us=_end_us(history)):
            if isinstance(told, Backtest):
                yield _line({"backtest": told.to_json()})
            else:
                yield _line({"progress": told.share, "objective": told.subject})
    except StoreError as error:
        yield _line({"error": str(error)})
    finally:
        _one_at_a_time.release()


def _proposed(history: History, range_us: int) -> Iterator[str]:
    try:
        for told in proposing.propose([history], range_us, now_us=_end_us(history)):
            if isinstance(told, Proposal):
                text, sentences = proposing.openslo(told), proposing.sentences(told)
                yield _line({"proposal": text, "sentences": sentences})
            else:
                yield _line({"progress": told.share})
    except StoreError as error:
        yield _line({"error": str(error)})
    finally:
        _one_at_a_time.release()


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
