"""`inferometer demo`: the whole program around a simulated fleet that gets into trouble."""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from inferometer.processes import Children
from inferometer.saying import Failure, answer, say

GPU_PRICE = "2.95"
"""A usual on-demand price of an H100-hour in US dollars; only the demo assumes one."""
START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """One simulated replica, as `inferometer simulate` announces it."""

    pool: str
    model: str
    replica: str
    url: str
    gpus: tuple[str, ...]


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
        _play(home.resolve(), children, port=port, seconds=seconds, once=once)


def _play(home: Path, children: Children, *, port: int, seconds: float, once: bool) -> None:
    say("starting a simulated fleet, the service, an agent and two proxies (some seconds)")
    places = _fleet(children)
    url = _service(home, children, port)
    _agent(home, children, url, places)
    targets = {pool: _proxy(home, children, pool, members) for pool, members in _pools(places).items()}
    answer(f"ready: {url}")
    say("healthy for 15 s; then chat-1 wedges while its /health says 200, and code gets six times its load")
    _load(targets, places, seconds)
    if not once:
        say("no more requests come in; the pages stay until Ctrl-C")
        threading.Event().wait()


def _fleet(children: Children) -> list[Place]:
    child = children.start("fleet", ["simulate", "--fleet", "demo"])
    told: list[dict[str, Any]] = json.loads(child.wait_for("ready:", START_SECONDS))
    return [Place(p["pool"], p["model"], p["replica"], p["url"], tuple(p["gpus"])) for p in told]


def _pools(places: Sequence[Place]) -> dict[str, list[Place]]:
    pools: dict[str, list[Place]] = {}
    for place in places:
        pools.setdefault(place.pool, []).append(place)
    return pools


def _service(home: Path, children: Children, port: int) -> str:
    """Start the webhook receiver and the service; return the service's URL."""
    from alerts.receivers.webhook import new_secret
    from alerts.sink import Sink

    secret = new_secret()
    sink = Sink(0, secret, lambda line: answer(f"webhook: {line}"))
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    settings = home / "service.toml"
    settings.write_text(
        _toml(
            data_dir=str(home / "data"),
            port=port,
            block_seconds=2.0,
            ledger_interval_seconds=10,
            ledger_lag_seconds=15,
            prices={"H100": GPU_PRICE},
            receivers=[{"name": "oncall", "url": sink.url, "secret": secret, "allow_private": True}],
        )
    )
    child = children.start("service", ["up", "--config", str(settings)])
    return child.wait_for("ready:", START_SECONDS)


def _agent(home: Path, children: Children, url: str, places: Sequence[Place]) -> None:
    from service.clock import now_us
    from service.store.state import State
    from service.store.tokens import Role

    state = State.open(f"sqlite:///{home / 'data' / 'state.db'}")
    token = state.tokens.create("demo-host", Role.AGENT, now_us=now_us())
    state.close()
    settings = home / "agent.toml"
    engines = [
        {"url": p.url, "kind": "vllm", "pool": p.pool, "model": p.model, "gpus": list(p.gpus)} for p in places
    ]
    settings.write_text(
        _toml(
            server=url,
            token=token,
            data_dir=str(home / "agent"),
            socket=str(_socket(home)),
            listen="127.0.0.1:0",
            origin="simulated",
            gpus=False,
            engines=engines,
        )
    )
    children.start(
        "agent", ["agent", "--config", str(settings), "--simulated-gpus", places[0].url], show=_quiet
    )


def _socket(home: Path) -> Path:
    return home / "records.sock"


def _proxy(home: Path, children: Children, pool: str, members: Sequence[Place]) -> str:
    """Start a pool's proxy; return its URL."""
    from simulator.demo import TENANTS
    from simulator.load import tenant_key

    tenants = {hashlib.sha256(tenant_key(name).encode()).hexdigest(): name for name in TENANTS}
    settings = home / f"proxy-{pool}.toml"
    settings.write_text(
        _toml(
            upstream=[place.url for place in members],
            replica=[place.replica for place in members],
            socket=str(_socket(home)),
            listen="127.0.0.1:0",
            pool=pool,
            tenants=tenants,
        )
    )
    child = children.start(f"proxy {pool}", ["proxy", "--config", str(settings)])
    return child.wait_for("ready:", START_SECONDS)


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


def _quiet(line: str) -> None:
    if " ERROR " in line or " WARNING " in line:
        say(f"agent: {line}")


def _toml(**values: object) -> str:
    """Return settings as TOML: texts, numbers, flags, lists and tables of these."""
    return "".join(f"{key} = {_toml_value(value)}\n" for key, value in values.items())


def _toml_value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    return json.dumps(value)
