"""Whether the service can be believed: its complaints, and the readings of its own metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from alerts.delivery import Delivery
from journal import Journal
from service.alerting.evaluator import Evaluator
from service.counting.fold import Fold
from service.counting.in_force import InForce
from service.live import LiveWindow
from service.own_metrics import Reading
from service.threads import Worker
from service.writer import Writer
from telemetry.columns import TABLES
from telemetry.units import MICROS_PER_SECOND

EVALUATION_LATE: Final = 6
"""Evaluations missed before the service says that it cannot be believed."""
LAGGING_SECONDS: Final = 60.0
"""A batch that has waited so long makes the journal refuse new ones."""
_EXPECTED: Final = frozenset({"stored", "duplicates", "refused"})
"""What the journal counts and `batches` tells already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """Looks at the parts of a running service. Any thread may ask."""

    journal: Journal
    fold: Fold
    live: LiveWindow
    writer: Writer
    evaluator: Evaluator
    delivery: Delivery
    in_force: InForce
    workers: Sequence[Worker]
    listeners: Callable[[], int]
    evaluation_seconds: float
    clock: Callable[[], int]

    def newest_us(self) -> int | None:
        """Return the event time of the newest fact of any kind; None before the first."""
        newest = (self.live.newest_us(table.name) for table in TABLES)
        return max((at for at in newest if at is not None), default=None)

    def complaints(self) -> list[str]:
        """Return why judgement cannot be relied on now; empty when everything moves."""
        reasons = [f"thread {worker.name} does not run" for worker in self.workers if not worker.alive]
        reasons += [f"{worker.name} fails: {worker.trouble}" for worker in self.workers if worker.trouble]
        age = self._evaluation_age()
        if age > EVALUATION_LATE * self.evaluation_seconds:
            reasons.append(f"the last evaluation is {age:.0f} s old")
        if not self.fold.ready:
            reasons.append("still counting what was in the journal at start")
        waited = self.journal.stats().lag_seconds
        if waited >= LAGGING_SECONDS:
            reasons.append(
                f"the oldest batch has waited {waited:.0f} s to be stored: agents are asked to wait"
            )
        return reasons

    def notes(self) -> list[str]:
        """Return what a person should mend or know of although judgement can be relied on."""
        told = [
            f"objectives: {mistake}; what the file said before is in force"
            for mistake in self.in_force.mistakes
        ]
        if (progress := self.in_force.progress) is not None:
            told.append(f"objectives: {progress}")
        return told

    def readings(self) -> Iterator[Reading]:
        """Yield what stands now, and what the parts have counted themselves."""
        yield from self._of_journal()
        yield from self._of_counting()
        written, newest = self.writer.written, self.newest_us()
        yield Reading("stored_blocks", written.blocks)
        yield Reading("stored_rows", written.rows)
        yield Reading("repaired_tables", written.repaired_tables)
        yield Reading("live_dropped_rows", self.live.dropped_rows)
        yield Reading("objective_mistakes", len(self.in_force.mistakes))
        if (progress := self.in_force.progress) is not None:
            yield Reading("recount_hours", progress.total)
            yield Reading("recount_hours_done", progress.done)
        yield Reading("listeners", self.listeners())
        yield Reading("evaluation_age_seconds", self._evaluation_age())
        yield Reading("evaluation_seconds", self.evaluator.latest.took_us / MICROS_PER_SECOND)
        if newest is not None:
            yield Reading("newest_fact_age_seconds", (self.clock() - newest) / MICROS_PER_SECOND)

    def _evaluation_age(self) -> float:
        return (self.clock() - self.evaluator.latest.at_us) / MICROS_PER_SECOND

    def _of_journal(self) -> Iterator[Reading]:
        stats = self.journal.stats()
        yield Reading("journal_batches", stats.batches)
        yield Reading("journal_used_bytes", stats.used_bytes)
        yield Reading("journal_bound_bytes", stats.bound_bytes)
        yield Reading("journal_lag_seconds", stats.lag_seconds)
        yield Reading("journal_quarantined_batches", stats.quarantined)
        if stats.commit_p99_us is not None:
            yield Reading("journal_commit_p99_seconds", stats.commit_p99_us / MICROS_PER_SECOND)
        for reader in stats.readers:
            yield Reading(f"{reader.name}_behind_batches", reader.behind)
        for kind, count in asdict(stats.counts).items():
            if kind not in _EXPECTED:
                yield Reading("journal_events", count, kind)

    def _of_counting(self) -> Iterator[Reading]:
        for counts in self.fold.counts:
            yield Reading("outside_requests", counts.outside, counts.objective.name)
        for judgement in self.evaluator.latest.judgements:
            yield Reading("folded_requests", judgement.counts.folded, judgement.objective.name)
        outcomes: Counter[str] = Counter()
        for (_, outcome), count in self.delivery.outcomes.copy().items():
            outcomes[outcome.value] += count
        for ended, count in outcomes.items():
            yield Reading("deliveries", count, ended)
