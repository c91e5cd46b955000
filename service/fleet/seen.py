"""Which agents there are and when each was heard: noted as batches come, written every few seconds.

What an agent says of itself is taken from the batch it sealed last, not from the one that
arrived last: after an outage the newest comes first and the backlog follows.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import pyarrow.compute as pc

from service.ingest.decode import Decoded
from service.store.fleet import AgentSeen
from service.store.state import State
from telemetry.events import EventKind
from telemetry.identity import Origin
from telemetry.units import MICROS_PER_SECOND

SIMULATED: Final = "simulated"
"""Key of the note that facts of a simulated fleet were ever taken."""
BACK_AFTER_US: Final = 30 * MICROS_PER_SECOND
"""After a silence this long an agent has to catch up before it is taken to be complete."""
OFFSETS: Final = 30
"""Batches of an agent from which its clock's offset is told."""
BOOTS: Final = 8
"""Earlier starts of an agent that are remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent that was ever heard. Instants are UTC microseconds.

    `seen_us` is the receipt of its last batch, by our clock; `sealed_us` the newest sealing, by
    its own (0 = not since this start); `back_us` since when it has been heard without a long
    silence, None = not since this start. `stopped` = its newest batch said that it was stopped.
    """

    name: str
    host: str
    boot: str
    software: str
    seen_us: int
    sealed_us: int = 0
    back_us: int | None = None
    stopped: bool = False
    clock_offset_us: int | None = None
    """Its clock minus ours, too low by its fastest delivery: a small fraction of a second."""
    double_us: int | None = None
    """When a start of it was last back that another had followed: two agents bear its name. None = never."""


class Seen:
    """Every agent ever heard. Thread-safe; at most one for each token name."""

    def __init__(self, state: State, *, stopped: Collection[str] = ()) -> None:
        """Take up what an earlier process wrote; `stopped` names those that ended in order. Two queries."""
        self._state = state
        self._agents = {
            kept.name: _agent(kept, stopped=kept.name in stopped) for kept in state.fleet.agents()
        }
        self._offsets: dict[str, deque[int]] = {}
        self._boots: dict[str, deque[str]] = {}
        self._unwritten: set[str] = set()
        self._lock = threading.Lock()
        self.simulated = state.notes.get(SIMULATED) is not None
        """Whether any batch ever taken came from a simulated fleet."""
        self._marked = self.simulated

    def note(self, name: str, batch: Decoded, at_us: int) -> None:
        """Keep what a batch received at `at_us` says of its agent."""
        header = batch.header
        with self._lock:
            before = self._agents.get(name)
            newest = before is None or header.sealed_at_us >= before.sealed_us
            told = header if newest or before is None else before
            self._agents[name] = Agent(
                name=name,
                host=told.host,
                boot=told.boot,
                software=told.software,
                seen_us=at_us,
                sealed_us=header.sealed_at_us
                if before is None
                else max(header.sealed_at_us, before.sealed_us),
                back_us=_back_us(before, at_us),
                stopped=_stops(batch) if newest or before is None else before.stopped,
                clock_offset_us=self._offset(name, header.sealed_at_us - at_us),
                double_us=self._double_us(before, told.boot, at_us),
            )
            self._unwritten.add(name)
            self.simulated = self.simulated or header.origin is Origin.SIMULATED

    def _double_us(self, before: Agent | None, boot: str, at_us: int) -> int | None:
        """Return when two were last seen to bear the name; an agent that starts anew has a new boot."""
        if before is None or before.boot == boot:
            return before.double_us if before else None
        earlier = self._boots.setdefault(before.name, deque(maxlen=BOOTS))
        is_back = boot in earlier
        earlier.append(before.boot)
        return at_us if is_back else before.double_us

    def _offset(self, name: str, offset_us: int) -> int:
        """Return the offset of the batch that came fastest of the last ones: delay only lowers it."""
        offsets = self._offsets.setdefault(name, deque(maxlen=OFFSETS))
        offsets.append(offset_us)
        return max(offsets)

    def agents(self) -> list[Agent]:
        """Return every agent ever heard, by name."""
        with self._lock:
            return sorted(self._agents.values(), key=lambda agent: agent.name)

    def step(self) -> bool:
        """Write what is new; false, as there is never more to do at once. At most two transactions."""
        with self._lock:
            names, self._unwritten = self._unwritten, set()
            new = [self._agents[name] for name in sorted(names)]
        try:
            if new:
                self._state.fleet.heard([_row(agent) for agent in new])
            if self.simulated and not self._marked:
                self._state.notes.set({SIMULATED: "yes"})
                self._marked = True
        except BaseException:
            with self._lock:
                self._unwritten |= names
            raise
        return False


def _agent(kept: AgentSeen, *, stopped: bool) -> Agent:
    return Agent(
        name=kept.name,
        host=kept.host,
        boot=kept.boot,
        software=kept.software,
        seen_us=kept.last_seen_us,
        stopped=stopped,
        clock_offset_us=kept.clock_offset_us,
    )


def _row(agent: Agent) -> AgentSeen:
    return AgentSeen(
        name=agent.name,
        host=agent.host,
        boot=agent.boot,
        software=agent.software,
        last_seen_us=agent.seen_us,
        clock_offset_us=agent.clock_offset_us,
    )


def _back_us(before: Agent | None, at_us: int) -> int:
    if before is None or before.back_us is None or at_us - before.seen_us > BACK_AFTER_US:
        return at_us
    return before.back_us


def _stops(batch: Decoded) -> bool:
    events = batch.tables.get("events")
    return events is not None and pc.index(events["kind"], EventKind.AGENT_STOP.value).as_py() >= 0
