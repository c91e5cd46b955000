"""`inferometer import`: judges recorded incidents without touching the fleet."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inferometer.saying import Failure, answer_json, say, telling
from inferometer.watching import Tell, progress

if TYPE_CHECKING:
    from service.recordings.judging import Terms
    from service.recordings.recording import Recording
    from service.recordings.verdicts import Verdict


def import_(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Recordings: a file is one, a folder with all in it is one.", show_default=False),
    ],
    limit: Annotated[
        list[str] | None,
        typer.Option(help="Limit every good request keeps: ttft=2s, tpot=100ms or e2e=30s; repeat for more."),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(help="Price of a GPU-hour, MODEL=PRICE such as A10=1.10; repeat for more."),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            help="Keep the facts in this directory; a second import of the same changes nothing.",
            show_default="a temporary one",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one object, or an array for several recordings.")
    ] = False,
    tolerate: Annotated[
        int, typer.Option(help="Unreadable rows to skip, and tell, before giving up.", min=0)
    ] = 0,
) -> None:
    """Judge recorded incidents: what users felt, what went wrong and why, what it cost.

    Knows per-request CSV and JSON lines, Prometheus query_range answers, DCGM rows, Azure and
    Mooncake traces, plain or gzipped, by their content. Nothing leaves this machine.

    Example: inferometer import run/ --limit ttft=2s --limit tpot=100ms --price A10=1.10
    """
    from inferometer.verdicts import document, show

    limits = limit or []
    terms = _terms(limits, price or [])
    with _directory(into) as directory, progress() as tell:
        verdicts = _judged(paths, terms, directory=directory, tolerate=tolerate, tell=tell)
    if as_json:
        documents = [document(verdict) for verdict in verdicts]
        answer_json(documents if len(documents) > 1 else documents[0])
        return
    for verdict in verdicts:
        show(verdict, limits=limits, priced=bool(price))


def _terms(limit_texts: Sequence[str], price_texts: Sequence[str]) -> Terms:
    from cost.prices import PriceBook, PriceError, parse
    from service.objectives.limits import limits
    from service.recordings.judging import Terms
    from slo.errors import ObjectiveError

    with telling(ObjectiveError, PriceError):
        objective = limits(limit_texts) if limit_texts else None
        prices = tuple(parse(text, source="--price") for text in price_texts)
    return Terms(objective, PriceBook(prices))


@contextmanager
def _directory(into: Path | None) -> Iterator[Path]:
    """Yield where the facts are kept: the directory asked for, if no service holds it, or a temporary one."""
    if into is None:
        with tempfile.TemporaryDirectory(prefix="inferometer-import-", ignore_cleanup_errors=True) as made:
            yield Path(made)
        return
    from service.holder import running_url

    url = running_url(into)
    if url is not None:
        raise Failure(
            f"--into {into}: the service at {url} holds this directory; choose another, or stop it first"
        )
    with telling(OSError):
        into.mkdir(parents=True, exist_ok=True)
    yield into


def _judged(
    paths: Sequence[Path], terms: Terms, *, directory: Path, tolerate: int, tell: Tell
) -> list[Verdict]:
    from cost.prices import PriceError
    from journal import JournalError
    from service.recordings.incident import IncidentError, incidents
    from service.recordings.read import read
    from service.recordings.recording import RecordingError
    from service.store.errors import StoreError
    from telemetry.wire import WireError

    expected = (RecordingError, IncidentError, PriceError, WireError, StoreError, JournalError, OSError)
    verdicts = []
    with telling(*expected), incidents(directory) as opened:
        for path in paths:

            def rows_read(file: str, rows: int) -> None:
                tell(f"reading {Path(file).name}: {rows:,} rows")

            def step_begun(step: str, name: str = path.name) -> None:
                tell(f"{name}: {step}")

            recording = read(path, tolerated_rows=tolerate, progress=rows_read)
            say(_held(recording))
            verdicts.append(opened.judge(recording, terms, step_begun))
    return verdicts


def _held(recording: Recording) -> str:
    return (
        f"{recording.name}: {len(recording.requests):,} requests, {len(recording.arrivals):,} arrivals, "
        f"{len(recording.engine_samples):,} engine and {len(recording.gpu_samples):,} GPU samples"
    )
