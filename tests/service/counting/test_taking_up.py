"""A new objective counts every request once, wherever the readers of the journal stood at the restart."""

from __future__ import annotations

from decimal import Decimal

import pytest

from journal import Journal, Limits, Sealed
from service.clock import now_us
from service.counting.cell_store import CellStore
from service.counting.fold import READER as FOLD
from service.counting.fold import Fold
from service.counting.sightings import Sightings
from service.counting.taking_up import Counting, Span
from service.live import LiveWindow
from service.own_metrics import Tally
from service.writer import READER as STORE
from service.writer import Writer
from slo.indicators.availability import Availability
from slo.indicators.ttft import Ttft
from slo.objective import Objective
from telemetry.identity import Vantage
from telemetry.requests import InFlightRequest, RequestRecord, Status
from telemetry.units import MICROS_PER_MINUTE, MICROS_PER_SECOND
from telemetry.wire import BatchHeader, encode

OLD = Objective(name="old", indicator=Availability(), target=Decimal("0.99"))
NEW = Objective(name="new", indicator=Ttft(limit_us=MICROS_PER_SECOND), target=Decimal("0.99"))
NOW_US = now_us() // MICROS_PER_MINUTE * MICROS_PER_MINUTE
GROUP_CAP = 10


class Notes(dict):
    """The state store's notes, kept in memory."""

    def set(self, values):
        self.update(values)


class House:
    """A service's counting, which can be started again and again over the same stores."""

    def __init__(self, folder, facts) -> None:
        self.journal = Journal.open(folder / "journal.db", Limits(ballast_bytes=0), readers=(STORE, FOLD))
        self.facts, self.notes, self.sent = facts, Notes(), 0
        self.writer = Writer(self.journal, facts)
        self.cells = CellStore(facts.cells, clock=now_us)

    def start(self, *objectives) -> Fold:
        counting = Counting(self.notes, self.cells, GROUP_CAP)
        sightings = Sightings(self.notes, self.journal.cursor(FOLD))
        counts = counting.taken_up(objectives, sightings, NOW_US)
        fold = Fold(
            self.journal,
            LiveWindow(),
            counts,
            cells=self.cells,
            sightings=sightings,
            tally=Tally(),
            clock=lambda: NOW_US,
            vantages={},
        )
        new = counting.new(counts)
        if new:
            self.writer.drain()
            counting.backfill(
                new,
                lambda one, start, end: fold.of_record(
                    self.facts.frame(one.indicator.table, from_us=start, to_us=end)
                ),
                upto=self.journal.cursor(STORE),
                span=Span.of(self.facts, NOW_US),
            )
        counting.note(counts, self.journal.cursor(STORE))
        return fold

    def send(self, batches: int) -> None:
        """Journal batches of a good request, a late one, one timed elsewhere too, and one seen hanging."""
        for _ in range(batches):
            self.sent += 1
            seen = InFlightRequest(
                request_id=f"hung-{self.sent}",
                at_us=NOW_US,
                started_at_us=NOW_US - 5 * MICROS_PER_SECOND,
                model="m",
            )
            ended = [
                self._ended("good", 1),
                self._ended("late", 2_000_000),
                self._ended("good", 1, Vantage.ENGINE),
            ]
            header = BatchHeader(boot="b", seq=self.sent, sealed_at_us=NOW_US + self.sent, host="h")
            body = encode(header, {"requests": ended, "in_flight": [seen]})
            sealed = Sealed(agent="a", boot="b", seq=self.sent, received_at_us=NOW_US, body=body)
            self.journal.append(sealed).result()

    def _ended(self, name: str, ttft_us: int, vantage: Vantage = Vantage.EDGE) -> RequestRecord:
        return RequestRecord(
            request_id=f"{name}-{self.sent}",
            model="m",
            status=Status.OK,
            started_at_us=NOW_US,
            ended_at_us=NOW_US,
            e2e_us=3_000_000,
            ttft_us=ttft_us,
            output_tokens=5,
            vantage=vantage,
        )

    def counted(self, objective) -> tuple[int, int]:
        return self.cells.read(objective.version, MICROS_PER_MINUTE, 0).cells.sums()


def _run(fold: Fold) -> None:
    while fold.step():
        pass
    fold.flush()


@pytest.mark.parametrize(("folded", "stored"), [(4, 2), (2, 4), (0, 6), (6, 0), (6, 6), (0, 0)])
def test_a_new_objective_counts_what_either_reader_has_not_seen(tmp_path, facts, folded, stored):
    house = House(tmp_path, facts)
    fold = house.start(OLD)
    for number in range(6):
        house.send(1)
        if number < folded:
            _run(fold)
        if number < stored:
            house.writer.drain()

    fold = house.start(OLD, NEW)
    _run(fold)
    assert house.counted(OLD) == (12, 12)
    assert house.counted(NEW) == (6, 12)  # hangs seen before an objective was there count at their ends

    house.send(2)
    _run(fold)
    assert house.counted(NEW) == (8, 18)
    _run(house.start(OLD, NEW))
    assert (house.counted(OLD), house.counted(NEW)) == ((16, 16), (8, 18))
    house.journal.close()


def test_an_objective_that_was_away_counts_what_came_meanwhile(tmp_path, facts):
    house = House(tmp_path, facts)
    _run(house.start(OLD, NEW))
    house.send(2)
    _run(house.start(OLD))
    assert house.counted(NEW) == (0, 0)
    _run(house.start(OLD, NEW))
    assert house.counted(NEW) == (2, 4)
    house.journal.close()


def test_a_backfill_that_was_cut_off_is_done_anew(tmp_path, facts):
    house = House(tmp_path, facts)
    _run(house.start(OLD))
    house.send(3)
    before = dict(house.notes)
    house.start(OLD, NEW)
    house.notes.clear()
    house.notes.update(before)  # killed after the cells, before the note
    house.send(1)
    _run(house.start(OLD, NEW))
    assert house.counted(NEW) == (4, 8)
    house.journal.close()
