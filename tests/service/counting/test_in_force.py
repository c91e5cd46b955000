"""Objectives change while the service runs: nothing stands still, and every request counts once."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial

import numpy as np
import pytest

from journal import Journal, Limits, Sealed
from service.clock import now_us
from service.counting.cell_store import CellStore
from service.counting.fold import READER as FOLD
from service.counting.fold import Fold, columns_of
from service.counting.in_force import Counted, InForce, Origins, wanted
from service.counting.rollup import RollUp
from service.counting.sightings import Sightings
from service.counting.taking_up import Counting, Span
from service.live import LiveWindow
from service.objectives.chosen import STARTER
from service.objectives.watched import Watched
from service.own_metrics import Tally
from service.store.objectives import ObjectiveDocument
from service.writer import READER as STORE
from service.writer import Writer
from telemetry.requests import RequestRecord, Status
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND
from telemetry.wire import BatchHeader, encode

TTFT = """\
apiVersion: openslo/v1
kind: SLO
metadata: {{name: {name}, displayName: {title}}}
spec:
  service: chat
  indicator:
    metadata: {{name: {name}}}
    spec:
      thresholdMetric: {{metricSource: {{type: inferometer, spec: {{indicator: ttft, group_by: [tenant]}}}}}}
  timeWindow: [{{duration: 30d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{op: lte, value: {limit}, targetPercent: 99}}]
"""


class Killed(BaseException):
    """The process ends here."""


class Life:
    """Ends the process at the n-th thing that it makes durable."""

    left = None

    def spend(self):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed  # and again, whatever a thread that is left over calls

    def guard(self, thing, *names):
        """Return a thing of which some methods may be the last that is called."""
        life = self

        class Guarded:
            def __getattr__(self, name):
                found = getattr(thing, name)
                if name not in names:
                    return found

                def call(*given, **named):
                    life.spend()
                    return found(*given, **named)

                return call

        return Guarded()


class House:
    """The parts that count, over real stores; each step is taken when a test says so."""

    def __init__(self, folder, facts, state) -> None:
        self.folder, self.facts, self.state = folder / "objectives", facts, state
        self.now_us, self.sent = now_us(), 0
        self.folder.mkdir()
        self.journal = Journal.open(folder / "journal.db", Limits(ballast_bytes=0), readers=(STORE, FOLD))
        self.write("old", 1)
        self.start()

    def write(self, name, limit, title="") -> None:
        (self.folder / f"{name}.yaml").write_text(TTFT.format(name=name, limit=limit, title=title or name))

    def start(self) -> None:
        """Begin as a process does, with what an earlier one left, killed or not."""
        self.life = Life()
        journal = self.life.guard(self.journal, "advance")
        self.cells = self.life.guard(CellStore(self.facts.cells, clock=now_us), "write")
        notes = self.life.guard(self.state.notes, "set")
        self.writer = Writer(self.journal, self.facts)
        self.writer.recover()
        origins = Origins(
            watched=Watched([self.folder]),
            documents=self.state.objective_documents,
            versions=self.life.guard(self.state.objectives, "replace"),
        )
        asked, counting = wanted(origins), Counting(notes, self.cells, 100)
        sightings = Sightings(notes, self.journal.cursor(FOLD))
        self.fold = Fold(
            journal,
            LiveWindow(),
            counting.taken_up(asked.objectives, sightings, self.now_us),
            cells=self.cells,
            sightings=sightings,
            tally=Tally(),
            clock=lambda: self.now_us,
            vantages={},
        )
        if new := counting.new(self.fold.counts):
            self.writer.drain()
            span = Span.of(self.facts, self.now_us)
            counting.backfill(new, self._rows, upto=self.journal.cursor(STORE), span=span)
        counting.note(self.fold.counts, self.journal.cursor(STORE))
        self.state.objectives.replace(asked.stored(), now_us=self.now_us)
        counted = Counted(
            self.fold, counting, RollUp(self.cells, notes), self.facts, partial(self.journal.cursor, STORE)
        )
        self.in_force = InForce(origins, counted, now=asked, clock=lambda: self.now_us)

    def _rows(self, objective, from_us, to_us):
        columns = columns_of([objective])["requests"]
        return self.fold.of_record(
            self.facts.frame("requests", from_us=from_us, to_us=to_us, columns=columns)
        )

    def send(self, count) -> None:
        """Journal requests, each a batch: the first tokens come after 1.5, 2.5, 3.5, 0.5 s, and so on."""
        for _ in range(count):
            self.sent += 1
            request = RequestRecord(
                request_id=f"r{self.sent}",
                tenant="t",
                model="m",
                status=Status.OK,
                started_at_us=self.now_us - 9 * MICROS_PER_SECOND,
                ended_at_us=self.now_us - self.sent % 3 * MICROS_PER_HOUR,
                e2e_us=9 * MICROS_PER_SECOND,
                ttft_us=self.sent % 4 * MICROS_PER_SECOND + MICROS_PER_SECOND // 2,
                output_tokens=5,
            )
            header = BatchHeader(boot="b", seq=self.sent, sealed_at_us=self.now_us, host="h")
            body = encode(header, {"requests": [request]})
            self.journal.append(
                Sealed(agent="a", boot="b", seq=self.sent, received_at_us=self.now_us, body=body)
            ).result()

    def objectives_step(self, *, storing=False) -> bool:
        """Take one step of the objectives a second later, the fold, maybe the store, going on meanwhile."""
        self.now_us += MICROS_PER_SECOND
        done, found = threading.Event(), []

        def step():
            try:
                found.append(self.in_force.step())
            except BaseException as error:  # noqa: BLE001 - a kill is told to the test
                found.append(error)
            done.set()

        threading.Thread(target=step, daemon=True).start()
        while not done.wait(0.005):
            if storing:
                self.writer.drain()
                self.fold.flush()
            self.fold.step()
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]

    def settle(self) -> None:
        """Let everything come to rest, the store last."""
        for each in range(6):
            while self.objectives_step() or (each == 0 and self.objectives_step()):
                pass
            while self.fold.step():
                pass
            self.writer.drain()
        self.fold.flush()

    def truth(self, **limits) -> dict[str, tuple[int, int]]:
        """Return (good, total) that objectives of these limits must have."""
        return {
            name: (sum(1 for at in range(1, self.sent + 1) if at % 4 < limit), self.sent)
            for name, limit in limits.items()
        }

    def counted(self) -> dict[str, tuple[int, int]]:
        """Return (good, total) of each objective as the fold holds it; it is what is written, too."""
        found, written = {}, {}
        for counts in self.fold.counts:
            name, snapshot = counts.objective.name, counts.ring.counts()
            found[name] = (int(snapshot.good[-1].sum()), int(snapshot.total[-1].sum()))
            written[name] = self.cells.read(counts.objective.version, MICROS_PER_MINUTE, 0).cells.sums()
        assert found == written
        return found

    def asked(self) -> dict[str, tuple[str, bool]]:
        """Return every version there was, and whether it holds still."""
        return {each.version: each.valid_to_us is None for each in self.state.objectives.history()}


@pytest.fixture
def house(tmp_path, facts, kept):
    made = House(tmp_path, facts, kept)
    yield made
    made.journal.close()


def test_a_new_file_counts_what_is_stored_what_is_only_folded_and_what_comes(house):
    house.send(5)
    house.writer.drain()
    house.send(4)
    house.fold.step()
    house.write("new", 2)
    house.settle()
    house.send(3)
    house.settle()
    assert house.counted() == house.truth(old=1, new=2)


def test_what_the_store_takes_while_objectives_change_is_not_lost(house):
    house.send(5)
    house.settle()
    house.write("new", 2)
    house.objectives_step()
    for _ in range(8):
        house.send(1)
        house.fold.step()
        house.objectives_step(storing=True)
    house.settle()
    assert house.counted() == house.truth(old=1, new=2)


def test_a_changed_threshold_takes_the_place_of_the_old_one_which_stays_in_history(house):
    house.send(8)
    house.settle()
    (before,) = house.asked()
    house.write("old", 3)
    house.settle()
    assert house.counted() == house.truth(old=3)
    history = house.asked()
    assert len(history) == 2 and history[before] is False


def test_the_earlier_version_is_in_force_until_the_new_one_is_counted(house):
    house.send(8)
    house.settle()
    house.write("old", 3)
    house.objectives_step()
    assert house.objectives_step()
    assert house.counted() == house.truth(old=1)
    assert "old: " in str(house.in_force.progress) and "hours counted" in str(house.in_force.progress)
    house.settle()
    assert house.counted() == house.truth(old=3) and house.in_force.progress is None


def test_words_change_without_counting_again(house):
    house.send(4)
    house.settle()
    (counts,) = house.fold.counts
    house.write("old", 1, title="Chat")
    house.settle()
    assert house.fold.counts == (counts,) and counts.objective.display_name == "Chat"


def test_a_file_that_goes_takes_its_objective_with_it_and_one_that_comes_back_has_no_hole(house):
    house.write("new", 2)
    house.send(4)
    house.settle()
    (house.folder / "new.yaml").unlink()
    house.send(4)
    house.settle()
    assert house.counted() == house.truth(old=1)
    house.write("new", 2)
    house.send(4)
    house.settle()
    assert house.counted() == house.truth(old=1, new=2)


def test_what_is_wanted_no_longer_is_not_counted_to_the_end(house):
    house.send(4)
    house.settle()
    house.write("old", 3)
    house.objectives_step()
    house.objectives_step()
    house.write("old", 1)
    house.settle()
    assert house.counted() == house.truth(old=1) and house.in_force.progress is None
    assert house.journal.cursor(FOLD) == house.journal.head()


def test_the_fold_goes_on_while_a_store_that_is_behind_is_waited_for(house):
    house.send(4)
    house.settle()
    house.send(4)
    house.fold.step()
    house.fold.flush()
    house.write("old", 3)
    for _ in range(5):
        house.objectives_step()
    house.send(2)
    house.fold.step()
    house.fold.flush()
    assert house.counted() == house.truth(old=1)
    house.settle()
    assert house.counted() == house.truth(old=3)


def test_what_the_api_was_given_is_in_force_and_a_file_goes_before_it(house):
    told = TTFT.format(name="told", title="t", limit=2)
    given = ObjectiveDocument(name="told", document=told, given_by="ann", given_at_us=1)
    house.state.objective_documents.put(given)
    house.in_force.ask()
    house.send(4)
    house.settle()
    assert house.counted() == house.truth(old=1, told=2)
    house.write("told", 4)
    house.settle()
    assert house.counted() == house.truth(old=1, told=4)
    assert house.in_force.chosen.find("told").source.endswith("told.yaml")


def test_the_starters_are_in_force_when_nobody_asks_for_anything(house):
    (house.folder / "old.yaml").unlink()
    house.settle()
    assert {each.source for each in house.in_force.chosen.written} == {STARTER}


@pytest.mark.parametrize("left", range(12))
def test_a_kill_at_any_instant_of_a_change_loses_and_repeats_nothing(house, left):
    house.write("gone", 4)
    house.send(5)
    house.settle()
    house.send(3)
    house.fold.step()
    (house.folder / "gone.yaml").unlink()
    house.write("old", 3)
    house.write("new", 2)
    house.life.left = left
    with suppress(Killed):
        for _ in range(6):
            house.objectives_step()
            house.send(1)
            house.fold.step()
            house.writer.drain()
    house.start()
    house.send(2)
    house.settle()
    assert house.counted() == house.truth(old=3, new=2)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_in_whatever_order_every_request_counts_once(house, seed):
    chance = np.random.default_rng(seed)
    limits = {"old": 1}

    def change():
        name = str(chance.choice(["old", "new", "third"]))
        if name in limits and len(limits) > 1 and chance.random() < 0.4:
            del limits[name]
            (house.folder / f"{name}.yaml").unlink()
        else:
            limits[name] = int(chance.integers(1, 5))
            house.write(name, limits[name])

    def die():
        house.life.left = int(chance.integers(0, 6))

    doings = (
        lambda: house.send(int(chance.integers(1, 4))),
        lambda: house.fold.step(),  # noqa: PLW0108 - the one there is then
        lambda: house.fold.flush(),  # noqa: PLW0108
        lambda: house.writer.drain(),  # noqa: PLW0108
        house.objectives_step,
        lambda: house.objectives_step(storing=True),
        change,
        die,
    )
    for _ in range(40):
        try:
            doings[int(chance.integers(len(doings)))]()
        except Killed:
            house.start()
    house.start()
    house.settle()
    assert house.counted() == house.truth(**limits)
