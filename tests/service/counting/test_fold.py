"""The fold counts every request once: across outages, failing stores and crashes at any moment."""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journal import Journal, Limits, Sealed
from service.counting.counts import LoadedCells, ObjectiveCounts
from service.counting.fold import READER, Fold
from service.counting.sightings import Sightings
from service.live import LiveWindow
from service.own_metrics import Tally
from service.store.errors import StoreUnavailable
from slo.cells import Cells
from slo.indicators.ttft import Ttft
from slo.objective import Objective
from telemetry.events import Event, EventKind
from telemetry.requests import InFlightRequest, RequestRecord, Status
from telemetry.units import MICROS_PER_MINUTE, MICROS_PER_SECOND
from telemetry.wire import BatchHeader, encode

S = MICROS_PER_SECOND
NOW_US = 1_700_000_040 * S
LIMIT_US = S
OBJECTIVE = Objective(
    name="ttft", indicator=Ttft(limit_us=LIMIT_US), target=Decimal("0.99"), group_by=("tenant",)
)


class Stores:
    """Notes and cells that outlive a crash; `failing` writes of cells are refused."""

    def __init__(self) -> None:
        self.notes: dict[str, str] = {}
        self.cells: dict[tuple[str, int], tuple[int, int, int]] = {}
        self.failing = 0

    def get(self, key):
        return self.notes.get(key)

    def set(self, values):
        self.notes |= values

    def write(self, version, width_us, cells, upto):
        if self.failing:
            self.failing -= 1
            raise StoreUnavailable("no")
        for group, bucket, good, total in zip(
            cells.group, cells.bucket, cells.good, cells.total, strict=True
        ):
            self.cells[cells.keys[group][0], int(bucket)] = (int(good), int(total), upto)

    def loaded(self):
        rows = sorted(self.cells.items())
        columns = [np.array([row[at] for _, row in rows], dtype=np.int64) for at in range(3)]
        cells = Cells.of(
            [(tenant,) for (tenant, _), _ in rows],
            group=np.arange(len(rows)),
            bucket=np.array([bucket for (_, bucket), _ in rows], dtype=np.int64),
            good=columns[0],
            total=columns[1],
        )
        return LoadedCells(cells, columns[2])


def opened(journal: Journal, stores: Stores, live: LiveWindow | None = None) -> Fold:
    """Return a fold as a process that starts now makes it."""
    sightings = Sightings(stores, journal.cursor(READER))
    counts = ObjectiveCounts(OBJECTIVE, now_us=NOW_US, group_cap=100)
    counts.load(stores.loaded(), sightings.early.get(OBJECTIVE.version, {}))
    return Fold(
        journal,
        live or LiveWindow(),
        [counts],
        cells=stores,
        sightings=sightings,
        tally=Tally(),
        clock=lambda: NOW_US,
        vantages={},
    )


def traffic(chance: random.Random) -> list[tuple[int, list, list]]:
    """Return what an agent seals every 2 s: (when, requests that ended, requests seen running)."""
    first = NOW_US - 40 * S
    batches = [(first + 2 * S * (n + 1), [], []) for n in range(16)]
    for number in range(chance.randrange(1, 25)):
        begin = first + chance.randrange(20 * S)
        end = begin + chance.randrange(S // 5, 11 * S)
        ttft = chance.randrange(end - begin)
        name, tenant = f"r{number}", chance.choice("ab")
        for at in range(begin + S, end, S):
            shown = InFlightRequest(
                request_id=name,
                at_us=at,
                started_at_us=begin,
                ttft_us=ttft if begin + ttft <= at else None,
                tenant=tenant,
                model="m",
            )
            batches[(at - first) // (2 * S)][2].append(shown)
        ended = RequestRecord(
            request_id=name,
            tenant=tenant,
            model="m",
            status=Status.OK,
            started_at_us=begin,
            ended_at_us=end,
            e2e_us=end - begin,
            ttft_us=ttft,
            output_tokens=3,
        )
        batches[(end - first) // (2 * S)][1].append(ended)
    return batches


def with_outages(batches: list, chance: random.Random) -> list:
    """Return batches as an agent delivers them: a fresh one, then what it could not send, newest first."""
    delivered = []
    while batches:
        size = chance.choice((1, 1, 1, 2, 4, 7))
        delivered += reversed(batches[:size])
        batches = batches[size:]
    return delivered


def recounted(delivered: list) -> tuple[Counter, Counter]:
    """Return (good, total) by tenant and minute, row by row: each request where it was first known."""
    good, total, done, newest = Counter(), Counter(), set(), 0
    for sealed_us, ended, running in delivered:
        for row in running if sealed_us > newest else ():
            waited_us = row.at_us - row.started_at_us if row.ttft_us is None else row.ttft_us
            late = waited_us > LIMIT_US
            if late and row.request_id not in done:
                done.add(row.request_id)
                total[row.tenant, row.at_us // MICROS_PER_MINUTE] += 1
        newest = max(newest, sealed_us)
        for row in ended:
            if row.request_id not in done:
                done.add(row.request_id)
                total[row.tenant, row.ended_at_us // MICROS_PER_MINUTE] += 1
                good[row.tenant, row.ended_at_us // MICROS_PER_MINUTE] += row.ttft_us <= LIMIT_US
    return good, total


def stored(stores: Stores) -> tuple[dict, dict]:
    cells = stores.cells.items()
    return {at: good for at, (good, _, _) in cells if good}, {at: total for at, (_, total, _) in cells}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fold")


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_every_request_counts_once_whatever_happens(folder, seed):
    chance = random.Random(seed)
    stores, batches = Stores(), traffic(chance)
    requests = sum(len(ended) for _, ended, _ in batches)
    delivered = with_outages(batches, chance)
    limits = Limits(ballast_bytes=0, group_delay_seconds=0)
    path = folder / f"{seed}-{chance.random()}.db"
    journal = Journal.open(path, limits, readers=(READER,))
    fold = opened(journal, stores)
    for seq, (sealed_us, ended, running) in enumerate(delivered):
        header = BatchHeader(boot="b", seq=seq, sealed_at_us=sealed_us, host="h")
        body = encode(header, {"requests": ended, "in_flight": running})
        sealed = Sealed(agent="a", boot="b", seq=seq, received_at_us=sealed_us + S, body=body)
        journal.append(sealed).result()
        if chance.random() < 0.6:
            fold.step()
        fate = chance.choice(("", "", "flush", "refused", "crash", "refused and crash", "flush and crash"))
        stores.failing = int("refused" in fate)
        if "flush" in fate:
            fold.flush()
        if "refused" in fate:
            _try_to_flush(fold)
        if "crash" in fate:
            fold = opened(journal, stores)
            fold.resume(chance.randint(journal.cursor(READER) - 3, journal.head()))
    while fold.step():
        pass
    stores.failing = 0
    fold.flush()
    journal.close()
    good, total = recounted(delivered)
    assert stored(stores) == (dict(+good), dict(total))
    assert sum(total.values()) == requests


def _try_to_flush(fold: Fold) -> None:
    try:
        fold.flush()
    except StoreUnavailable:
        return


def test_a_crash_between_cells_and_cursor_repeats_nothing(folder, monkeypatch):
    chance = random.Random(7)
    stores, batches = Stores(), traffic(chance)
    journal = Journal.open(folder / "torn.db", Limits(ballast_bytes=0), readers=(READER,))
    fold = opened(journal, stores)
    for seq, (sealed_us, ended, running) in enumerate(batches):
        body = encode(
            BatchHeader(boot="b", seq=seq, sealed_at_us=sealed_us, host="h"),
            {"requests": ended, "in_flight": running},
        )
        journal.append(Sealed(agent="a", boot="b", seq=seq, received_at_us=sealed_us, body=body)).result()
    fold.step()
    with monkeypatch.context() as torn:
        torn.setattr(journal, "advance", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fold.flush()
    again = opened(journal, stores)
    again.step()
    again.flush()
    journal.close()
    good, total = recounted(batches)
    assert stored(stores) == (dict(+good), dict(total))


def test_what_was_counted_early_is_forgotten_once_its_end_is_counted_for_good(folder):
    stores, batches = Stores(), traffic(random.Random(3))
    journal = Journal.open(folder / "forgotten.db", Limits(ballast_bytes=0), readers=(READER,))
    fold = opened(journal, stores)
    early = 0
    for seq, (sealed_us, ended, running) in enumerate(batches):
        header = BatchHeader(boot="b", seq=seq, sealed_at_us=sealed_us, host="h")
        body = encode(header, {"requests": ended, "in_flight": running})
        journal.append(Sealed(agent="a", boot="b", seq=seq, received_at_us=sealed_us, body=body)).result()
        fold.step()
        fold.flush()
        early = max(early, len(fold.counts[0].early))
    journal.close()
    assert early > 0
    assert fold.counts[0].early == {}


@pytest.mark.parametrize("live_upto", range(7))
def test_after_a_start_the_live_window_gets_what_it_lacks_and_nothing_twice(folder, live_upto):
    stores, live = Stores(), LiveWindow()
    journal = Journal.open(
        folder / f"live-{live_upto}.db", Limits(ballast_bytes=0), readers=(READER, "store")
    )
    for seq in range(6):
        header = BatchHeader(boot="b", seq=seq, sealed_at_us=NOW_US, host="h")
        body = encode(header, {"events": [Event(at_us=NOW_US + seq, kind=EventKind.DEPLOY, host="h")]})
        journal.append(Sealed(agent="a", boot="b", seq=seq, received_at_us=NOW_US, body=body)).result()
    first = journal.head() - 5
    journal.advance(READER, first + 3)
    fold = opened(journal, stores, live)
    fold.resume(first - 1 + live_upto)
    while fold.step():
        pass
    fold.flush()
    cursor, head = journal.cursor(READER), journal.head()
    journal.close()
    told = live.frame("events", 0, 2 * NOW_US).numbers("at_us").values - NOW_US
    assert told.tolist() == list(range(live_upto, 6))
    assert cursor == head
