"""`inferometer simulate`: a fleet without a GPU, answering real HTTP."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from inferometer.saying import Failure, telling


def simulate(
    fleet: Annotated[
        str, typer.Option(help="Which fleet: demo (8 H100, two pools) or replay (8B replicas).")
    ] = "demo",
    replicas: Annotated[int, typer.Option(help="Replicas of the replay fleet.", min=1, max=64)] = 2,
    host: Annotated[
        str | None, typer.Option(help="The name facts call its host by.", show_default="this machine's")
    ] = None,
) -> None:
    """Serve simulated replicas: vLLM's /metrics and OpenAI streaming, one port each.

    Prints `ready:` and a JSON list of {pool, model, key, replica, url, gpus}. Faults are ordered by
    POST /simulated/fault. Every answer carries X-Simulated.
    """
    from simulator import fleets
    from simulator.errors import SimulatorError
    from simulator.server import run
    from simulator.specs import FleetSpec

    known: dict[str, Callable[[], FleetSpec]] = {
        "demo": fleets.demo_fleet,
        "replay": lambda: fleets.replay_fleet(replicas),
    }
    if fleet not in known:
        raise Failure(f"--fleet {fleet!r}: no such fleet; there are {', '.join(known)}", code=2)

    def announce(served: FleetSpec) -> None:
        places = [
            {
                "pool": pool.name,
                "model": pool.engine.model,
                "key": place.key,
                "replica": place.name,
                "url": f"http://127.0.0.1:{place.port}",
                "gpus": [gpu.uuid for gpu in place.gpus],
            }
            for pool, place in served.replicas()
        ]
        sys.stdout.write(f"ready: {json.dumps(places)}\n")
        sys.stdout.flush()

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with telling(SimulatorError, OSError):
        run(known[fleet](), announce=announce, host=host)
