"""`inferometer load`: plays a recorded trace in real time against an OpenAI-compatible server."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer

from inferometer.saying import answer, answer_json, say, telling


def load(
    trace: Annotated[Path, typer.Argument(help="Azure LLM inference trace (CSV, plain or gzipped).")],
    target: Annotated[
        list[str], typer.Option(help="Base URL of the server or proxy, without /v1; repeat for more.")
    ],
    model: Annotated[str, typer.Option(help="Model asked for.")],
    seconds: Annotated[float, typer.Option(help="How much of the trace to play.", min=1, max=86_400)] = 300.0,
    skip: Annotated[float, typer.Option(help="Seconds of the trace to leave out at its start.", min=0)] = 0.0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Send the requests of a trace at their own times, streamed, and say how each ended.

    Bounded in number, time and requests in flight. Requests that did not end well are listed.
    """
    import asyncio
    import dataclasses

    from simulator.arrivals import replay
    from simulator.errors import SimulatorError
    from simulator.load import Target, play
    from telemetry.units import MICROS_PER_SECOND

    first, last = int(skip * MICROS_PER_SECOND), int((skip + seconds) * MICROS_PER_SECOND)
    with telling(SimulatorError):
        wanted = itertools.takewhile(lambda each: each.at_us < last, replay(trace))
        arrivals = [dataclasses.replace(a, at_us=a.at_us - first) for a in wanted if a.at_us >= first]
    say(f"playing {len(arrivals):,} requests of {trace.name} over {seconds:g} s against {', '.join(target)}")
    report = asyncio.run(play(arrivals, {"": Target(model=model, urls=tuple(target))}))
    if json:
        unhappy = [dataclasses.asdict(each) for each in report.not_ok]
        answer_json({"counts": dict(report.counts), "not_ok": unhappy, "not_named": report.not_named})
        return
    answer(
        ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(report.counts.items()))
        or "nothing was due"
    )
    for each in report.not_ok[:50]:
        answer(f"  {each.request_id} {each.outcome}: {each.error or each.http_status or ''}")
