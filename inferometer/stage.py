"""The parts of one run on this machine: each a process of ours, its settings a file in one folder.

The demo puts the whole program together with it; so do the benchmarks that kill parts of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inferometer.processes import Child, Children

Show = Callable[[str], None]
"""Takes one line that a part has said."""
START_SECONDS: Final = 60.0
"""How long a part may take until it says that it is ready."""


@dataclass(frozen=True, slots=True)
class Place:
    """One simulated replica, as `inferometer simulate` announces it; `key` is its short name in the fleet."""

    pool: str
    model: str
    key: str
    replica: str
    url: str
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A process that answers at a URL."""

    child: Child
    url: str


class Stage:
    """Starts parts in a folder. A part that was killed is started again by the same call."""

    def __init__(self, home: Path, children: Children) -> None:
        """Use a folder that exists; `children` ends what is started here."""
        self._home, self._children = home, children

    @property
    def data_dir(self) -> Path:
        """Where the service keeps its data."""
        return self._home / "data"

    @property
    def spool_dir(self) -> Path:
        """Where the agent keeps what it has not delivered."""
        return self._home / "agent"

    def fleet(self, name: str, *options: str) -> list[Place]:
        """Start a simulated fleet, by a name that `inferometer simulate` knows; return its replicas."""
        child = self._children.start("fleet", ["simulate", "--fleet", name, *options])
        told: list[dict[str, Any]] = json.loads(child.wait_for("ready:", START_SECONDS))
        return [
            Place(p["pool"], p["model"], p["key"], p["replica"], p["url"], tuple(p["gpus"])) for p in told
        ]

    def service(self, *, show: Show | None = None, **settings: object) -> Part:
        """Start the service with settings of `service.settings`; return once it answers."""
        child = self.launched_service(show=show, **settings)
        return Part(child, child.wait_for("ready:", START_SECONDS))

    def launched_service(self, *, show: Show | None = None, **settings: object) -> Child:
        """Start the service and do not wait for it; `show` gets its lines."""
        config = self._config("service", data_dir=str(self.data_dir), **settings)
        return self._children.start("service", ["up", "--config", config], show=show)

    def token(self, agent: str) -> str:
        """Make a token for an agent; the service's data directory must be there."""
        from service.clock import now_us
        from service.store.state import State
        from service.store.tokens import Role

        state = State.open(f"sqlite:///{self.data_dir / 'state.db'}")
        try:
            return state.tokens.create(agent, Role.AGENT, now_us=now_us())
        finally:
            state.close()

    def agent(
        self,
        server: str,
        token: str,
        places: Sequence[Place],
        *,
        show: Show | None = None,
    ) -> Child:
        """Start an agent that reads a simulated fleet and takes in records; `show` gets its lines."""
        engines = [
            {"url": p.url, "kind": "vllm", "pool": p.pool, "model": p.model, "gpus": list(p.gpus)}
            for p in places
        ]
        config = self._config(
            "agent",
            server=server,
            token=token,
            data_dir=str(self.spool_dir),
            socket=str(self._socket),
            listen="127.0.0.1:0",
            origin="simulated",
            gpus=False,
            engines=engines,
        )
        command = ["agent", "--config", config, "--simulated-gpus", places[0].url]
        return self._children.start("agent", command, show=show)

    def proxy(self, places: Sequence[Place], tenants: Sequence[str] = ()) -> Part:
        """Start the proxy of one pool's replicas; simulated tenants are known by their keys."""
        from simulator.load import tenant_key

        pool = places[0].pool
        config = self._config(
            f"proxy-{pool}",
            upstream=[place.url for place in places],
            replica=[place.replica for place in places],
            socket=str(self._socket),
            listen="127.0.0.1:0",
            pool=pool,
            tenants={hashlib.sha256(tenant_key(name).encode()).hexdigest(): name for name in tenants},
        )
        child = self._children.start(f"proxy {pool}", ["proxy", "--config", config])
        return Part(child, child.wait_for("ready:", START_SECONDS))

    @property
    def _socket(self) -> Path:
        return self._home / "records.sock"

    def _config(self, name: str, **settings: object) -> str:
        file = self._home / f"{name}.toml"
        file.touch(mode=0o600)  # it may hold a token
        file.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in settings.items()))
        return str(file)


def pools(places: Sequence[Place]) -> dict[str, list[Place]]:
    """Return replicas by pool, in their order."""
    found: dict[str, list[Place]] = {}
    for place in places:
        found.setdefault(place.pool, []).append(place)
    return found


def _toml(value: object) -> str:
    """Return a text, number, flag, list or table of these as TOML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value)
