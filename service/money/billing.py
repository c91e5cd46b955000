"""The live ledger: intervals are closed one after the other, some time after their end.

An interval closes when every agent that should be heard has sealed what comes after it, has had
time to send its backlog, and all of that is stored; or an hour after its end, with what is
missing as unobserved. It is written whole, in integers; the note of how far the ledger reaches
moves after the write, so a crash writes an interval again, in place of the first time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from cost.attribution import Window
from cost.fleet import Gpu
from cost.prices import PriceBook
from service.fleet.seen import Agent
from service.money.costing import Facts as BilledFacts
from service.money.costing import bill, seen_gpus
from service.store.facts import Facts
from service.store.fleet import ExpectedGpu
from service.store.ledger import Interval
from service.store.notes import LEDGER_VERSION
from service.store.state import State
from service.writer import READER as STORE
from slo.objective import Objective
from telemetry.frame import Frame, combined
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND

FIRST_VERSION: Final = "1"
CLOSED: Final = "ledger_closed_upto_us"
GAP_US: Final = 10 * MICROS_PER_SECOND
LONGEST_REQUEST_US: Final = MICROS_PER_HOUR
"""Requests that began earlier than this before an interval are not looked for."""
PLACED_US: Final = 24 * MICROS_PER_HOUR
"""How long a placement holds that is not told again; agents tell theirs every five minutes."""
SILENT_AGENT_US: Final = 10 * MICROS_PER_MINUTE
"""An agent not heard for this long, while we could have heard it, holds no interval open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the ledger is kept: width and lag of intervals, currency."""

    interval_us: int
    lag_us: int
    currency: str


class Stored(Protocol):
    """What billing asks of the journal: how far it reaches, and how far a reader has come."""

    def head(self) -> int:
        """Return the id of the newest batch."""
        ...

    def cursor(self, reader: str) -> int:
        """Return the id up to which nothing is left for a reader."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where billing takes from what it bills, and when that is complete."""

    facts: Facts
    state: State
    journal: Stored
    agents: Callable[[], Sequence[Agent]]
    of_record: Callable[[Frame], Frame]
    """Keeps the requests of each pool's vantage of record: nobody pays for a request twice."""


class Billing:
    """Closes intervals. `step` belongs to one thread."""

    def __init__(
        self,
        sources: Sources,
        rules: Rules,
        *,
        objectives: Callable[[], Sequence[Objective]],
        clock: Callable[[], int],
    ) -> None:
        """Go on where the ledger ends. One transaction."""
        self._sources, self._rules = sources, rules
        self._facts, self._state = sources.facts, sources.state
        self._objectives, self._clock = objectives, clock
        self._started_us = clock()
        self._awaited: tuple[int, int] | None = None
        """The end of an interval that is complete in the journal, and the head that must be stored."""
        self.version = self._state.notes.set_once(LEDGER_VERSION, FIRST_VERSION)

    def step(self) -> bool:
        """Close the next interval that is due; true = another may be due."""
        start_us = self._start()
        if start_us is None or not self._due(start_us + self._rules.interval_us):
            return False
        self.close(start_us)
        return True

    def close(self, start_us: int) -> None:
        """Bill [start, start + interval) and write it. A handful of queries, one insert."""
        end_us = start_us + self._rules.interval_us
        facts = self._facts_of(start_us, end_us)
        self._expect(facts.gpu_samples, start_us)
        ledger = bill(
            facts,
            prices=self.prices(),
            objectives=self._objectives(),
            window=Window(start_us, end_us),
            known_gpus=[Gpu(each.gpu_uuid, each.gpu_model) for each in self._state.fleet.expected()],
            gap_us=GAP_US,
        )
        interval = Interval(version=self.version, start_us=start_us, end_us=end_us)
        self._facts.ledger.write(interval, ledger.rows, written_at_us=self._clock())
        self._state.notes.set({CLOSED: str(end_us)})

    def prices(self) -> PriceBook:
        """Return the price book that holds. One query."""
        return self._state.prices.book(self._rules.currency)

    def hourly(self, gpu_samples: Frame) -> dict[str, int]:
        """Return what each GPU of a frame costs an hour now, in nano-currency; unpriced ones left out."""
        book, now_us = self.prices(), self._clock()
        quotes = {gpu.uuid: book.quote(gpu.uuid, gpu.model) for gpu in seen_gpus(gpu_samples)}
        return {
            uuid: [s.nano_per_hour for s in quote.segments if s.from_us <= now_us][-1]
            for uuid, quote in quotes.items()
            if any(s.from_us <= now_us for s in quote.segments)
        }

    def _start(self) -> int | None:
        """Return where the next interval starts; None before the first GPU was seen."""
        closed = self._state.notes.get(CLOSED)
        if closed is not None:
            return int(closed)
        span = self._facts.span("gpu_samples")
        return None if span is None else span[0] // self._rules.interval_us * self._rules.interval_us

    def _due(self, end_us: int) -> bool:
        now_us = self._clock()
        if now_us < end_us + self._rules.lag_us:
            return False
        return now_us > end_us + MICROS_PER_HOUR or (self._told(end_us, now_us) and self._stored(end_us))

    def _told(self, end_us: int, now_us: int) -> bool:
        """Tell whether every agent has told what came before `end_us`. One that ended in order has."""
        awaited = [
            agent
            for agent in self._sources.agents()
            if not agent.stopped and now_us - max(agent.seen_us, self._started_us) < SILENT_AGENT_US
        ]
        return all(
            agent.back_us is not None
            and now_us >= agent.back_us + self._rules.lag_us
            and agent.sealed_us >= end_us
            for agent in awaited
        )

    def _stored(self, end_us: int) -> bool:
        """Tell whether the store holds everything that was in the journal when all had told."""
        if self._awaited is None or self._awaited[0] != end_us:
            self._awaited = (end_us, self._sources.journal.head())
        return self._sources.journal.cursor(STORE) >= self._awaited[1]

    def _facts_of(self, start_us: int, end_us: int) -> BilledFacts:
        """Return the facts that overlap an interval; states reach a little beyond its edges."""
        facts = self._facts
        running = facts.frame(
            "requests",
            from_us=start_us,
            to_us=end_us + LONGEST_REQUEST_US,
            where="started_at_us < {interval_end_us:Int64}",
            params={"interval_end_us": end_us},
        )
        return BilledFacts(
            requests=self._sources.of_record(running),
            engine_samples=facts.frame("engine_samples", from_us=start_us, to_us=end_us),
            gpu_samples=facts.frame("gpu_samples", from_us=start_us, to_us=end_us),
            placements=facts.frame("placements", from_us=start_us - PLACED_US, to_us=end_us),
        )

    def _expect(self, gpu_samples: Frame, start_us: int) -> None:
        """Expect from now on every GPU that was ever seen. MIG instances come and go: they are not."""
        _, told = combined(
            [gpu_samples.texts(name) for name in ("gpu_uuid", "host", "gpu_model", "mig_parent_uuid")],
            None,
        )
        seen = {key[0]: key[:3] for key in told if key[0] is not None and key[3] is None}
        self._state.fleet.expect(
            [
                ExpectedGpu(gpu_uuid=uuid, host=host or "", gpu_model=model, since_us=start_us)
                for uuid, (_, host, model) in sorted(seen.items())
            ]
        )
