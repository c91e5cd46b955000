"""`inferometer demo`: the whole program around a simulated fleet that gets into trouble."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from inferometer.processes import Child, Children
from inferometer.saying import Failure, answer, say
from inferometer.stage import Place, Stage, pools

GPU_PRICE = "2.95"
"""A usual on-demand price of an H100-hour in US dollars; only the demo assumes one."""
AGENT = "demo-host"
_EXPECTED = ("ready:", "admin token")
"""What a service says when all is well."""


def demo(
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where to keep its data.", show_default="a temporary folder, removed at the end"),
    ] = None,
    port: Annotated[int, typer.Option(help="Port of the pages; 0 takes a free one.")] = 8460,
    seconds: Annotated[
        float,
        typer.Option(help="How long requests come in; the pages stay until Ctrl-C.", min=10, max=86_400),
    ] = 1800.0,
    once: Annotated[bool, typer.Option("--once", help="End when the requests have ended.")] = False,
) -> None:
    """Show a simulated fleet: healthy, then a wedged replica and an overload, then recovery.

    Starts the real service, agent, proxies and a webhook receiver; only the fleet is simulated.
    Open the URL after `ready:`; webhooks are printed as they arrive. Ctrl-C ends everything.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        home = data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inferometer-")))
        home.mkdir(parents=True, exist_ok=True)
        children = Children()
        stack.callback(children.stop)
        _play(Stage(home.resolve(), children), children, port=port, seconds=seconds, once=once)


def _play(stage: Stage, children: Children, *, port: int, seconds: float, once: bool) -> None:
    from simulator.demo import TENANTS

    say("starting a simulated fleet, the service, an agent and two proxies (some seconds)")
    places = stage.fleet("demo")
    url = stage.service(
        show=_unexpected,
        port=port,
        block_seconds=2.0,
        ledger_interval_seconds=10,
        ledger_lag_seconds=15,
        prices={"H100": GPU_PRICE},
        receivers=[_receiver()],
    ).url
    stage.agent(url, stage.token(AGENT), places, show=_quiet)
    targets = {pool: stage.proxy(members, TENANTS).url for pool, members in pools(places).items()}
    answer(f"ready: {url}")
    say(_script(places))
    say(f"a token for commands: inferometer token create me --role admin --data-dir {stage.data_dir}")
    children.watch(_gone)
    _load(targets, places, seconds)
    if not once:
        say("no more requests come in; the pages stay until Ctrl-C")
        threading.Event().wait()


def _script(places: Sequence[Place]) -> str:
    """Return what will happen, each replica by the name that pages and webhooks call it."""
    from simulator.demo import FAULTS

    names = {place.key: place.replica for place in places}
    told = [
        f"from {fault.start_us / 1e6:.0f} s to {fault.end_us / 1e6:.0f} s "
        + (
            f"{names[fault.replica]} is wedged while its /health says 200"
            if fault.replica
            else f"pool {fault.pool} gets {fault.factor:g} times its load"
        )
        for fault in FAULTS
    ]
    return f"healthy at first; {'; '.join(told)}; then it recovers"


def _receiver() -> dict[str, object]:
    """Start the stand-in for a pager; return it as a receiver of the service's settings."""
    from alerts.receivers.webhook import new_secret
    from alerts.sink import Sink

    secret = new_secret()
    sink = Sink(0, secret, lambda line: answer(f"webhook: {line}"))
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    return {"name": "oncall", "url": sink.url, "secret": secret, "allow_private": True}


def _load(targets: Mapping[str, str], places: Sequence[Place], seconds: float) -> None:
    from simulator.demo import run_demo
    from simulator.errors import SimulatorError
    from simulator.load import Target

    models = {place.pool: place.model for place in places}
    try:
        run_demo(
            {pool: Target(model=models[pool], urls=(url,)) for pool, url in targets.items()},
            places[0].url,
            seconds=seconds,
        )
    except SimulatorError as error:
        raise Failure(f"demo: {error}") from error


def _gone(child: Child) -> None:
    say(f"{child.name} ended by itself; its last words:\n{child.words()}")


def _unexpected(line: str) -> None:
    if not line.startswith(_EXPECTED):
        say(f"service: {line}")


def _quiet(line: str) -> None:
    if " ERROR " in line or " WARNING " in line:
        say(f"agent: {line}")
