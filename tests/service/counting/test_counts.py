"""Counts survive any crash: written cells and a replay of the journal give the same integers."""

from __future__ import annotations

import random
from decimal import Decimal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.counting.counts import LoadedCells, ObjectiveCounts, key_of, key_text, latest
from slo.cells import Cells
from slo.indicators.ttft import Ttft
from slo.objective import Objective
from telemetry.frame import Frame
from telemetry.requests import InFlightRequest, RequestRecord, Status
from telemetry.units import MICROS_PER_SECOND

NOW_US = 1_700_000_040 * MICROS_PER_SECOND
OBJECTIVE = Objective(
    name="ttft", indicator=Ttft(limit_us=MICROS_PER_SECOND), target=Decimal("0.99"), group_by=("tenant",)
)


class Memory:
    """The facts store's cells, newest `upto` of each."""

    def __init__(self) -> None:
        self.rows: dict[tuple, tuple[int, int, int]] = {}

    def write(self, cells: Cells, upto: int) -> None:
        for group, bucket, good, total in zip(
            cells.group, cells.bucket, cells.good, cells.total, strict=True
        ):
            self.rows[cells.keys[group], int(bucket)] = (int(good), int(total), upto)

    def read(self) -> LoadedCells:
        keys = [key for key, _ in self.rows]
        values = np.array(list(self.rows.values()), dtype=np.int64).reshape(-1, 3)
        order = sorted(range(len(keys)), key=lambda at: (keys[at], list(self.rows)[at][1]))
        cells = Cells.of(
            keys,
            group=np.arange(len(keys)),
            bucket=np.array([b for _, b in self.rows], dtype=np.int64),
            good=values[:, 0],
            total=values[:, 1],
        )
        return LoadedCells(cells, values[order, 2])


def _batches(seed: int, count: int) -> list[tuple[Frame, Frame]]:
    rng = random.Random(seed)
    batches = []
    for batch in range(count):
        ended = [
            RequestRecord(
                request_id=f"{batch}-{at}",
                tenant=rng.choice("ab"),
                model="m",
                status=Status.OK,
                started_at_us=NOW_US,
                ended_at_us=NOW_US - rng.randrange(0, 300) * MICROS_PER_SECOND,
                e2e_us=3_000_000,
                ttft_us=rng.randrange(0, 2_000_000),
                output_tokens=5,
            )
            for at in range(rng.randrange(4))
        ]
        running = [
            InFlightRequest(
                request_id=f"{batch + rng.randrange(3)}-0",
                tenant="a",
                model="m",
                at_us=NOW_US - 1,
                started_at_us=NOW_US - rng.randrange(4) * MICROS_PER_SECOND,
            )
            for _ in range(rng.randrange(3))
        ]
        batches.append((Frame.of("requests", ended), Frame.of("in_flight", running)))
    return batches


def _fold(counts: ObjectiveCounts, batch: tuple[Frame, Frame], entry: int) -> None:
    counts.fold_in_flight(batch[1], entry)
    counts.fold_ended(batch[0], entry)


def _sums(counts: ObjectiveCounts) -> dict:
    snapshot = counts.ring.counts()
    return {
        key: (snapshot.good[:, at].tolist(), snapshot.total[:, at].tolist())
        for at, key in enumerate(snapshot.keys)
        if snapshot.total[:, at].any()
    }


def _fresh() -> ObjectiveCounts:
    return ObjectiveCounts(OBJECTIVE, now_us=NOW_US, group_cap=100)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), crashes=st.lists(st.integers(0, 11), max_size=4), torn=st.booleans())
def test_a_crash_at_any_flush_changes_no_count(seed, crashes, torn):
    batches = _batches(seed, 12)
    whole = _fresh()
    for entry, batch in enumerate(batches, start=1):
        _fold(whole, batch, entry)

    store, cursor, early = Memory(), 0, {}
    counts = _fresh()
    for stop in [*sorted(crashes), 12]:
        for entry in range(cursor + 1, stop + 1):
            _fold(counts, batches[entry - 1], entry)
        early = dict(counts.early)
        store.write(counts.take_touched(), stop)
        if not torn:
            cursor = stop  # the cursor moved; else the crash came between the cells and the cursor
        counts = _fresh()
        counts.load(store.read(), early)
    for entry in range(cursor + 1, 13):
        _fold(counts, batches[entry - 1], entry)
    assert _sums(counts) == _sums(whole)


def test_a_request_that_hangs_counts_once_although_it_is_seen_thrice():
    counts = _fresh()
    hung = InFlightRequest(
        request_id="r", tenant="a", model="m", at_us=NOW_US, started_at_us=NOW_US - 9 * MICROS_PER_SECOND
    )
    for entry in (1, 2, 3):
        counts.fold_in_flight(Frame.of("in_flight", [hung]), entry)
    ended = RequestRecord(
        request_id="r",
        tenant="a",
        model="m",
        status=Status.OK,
        started_at_us=NOW_US,
        ended_at_us=NOW_US,
        e2e_us=12_000_000,
        ttft_us=11_000_000,
        output_tokens=4,
    )
    counts.fold_ended(Frame.of("requests", [ended]), 4)
    assert _sums(counts) == {("a",): ([0] * 8, [1] * 8)}


def test_the_last_of_absolute_cells_counts():
    def one(good: int, bucket: int = 7) -> Cells:
        return Cells.of(
            [("k",)],
            group=np.zeros(1, dtype=np.int64),
            bucket=np.array([bucket]),
            good=np.array([good]),
            total=np.array([9]),
        )

    cells = latest([one(1), one(2, bucket=8), one(3)])
    assert (cells.bucket.tolist(), cells.good.tolist(), cells.total.tolist()) == ([7, 8], [3, 2], [9, 9])


@given(st.lists(st.text(max_size=20), max_size=4))
def test_a_group_comes_back_from_its_text(words):
    assert key_of(key_text(tuple(words))) == tuple(words)


def test_early_requests_are_bounded(monkeypatch):
    monkeypatch.setattr("service.counting.counts.EARLY_MOST", 10)
    counts = _fresh()
    rows = [
        InFlightRequest(
            request_id=f"r{at}",
            tenant="a",
            model="m",
            at_us=NOW_US,
            started_at_us=NOW_US - 5 * MICROS_PER_SECOND,
        )
        for at in range(25)
    ]
    counts.fold_in_flight(Frame.of("in_flight", rows), 1)
    assert len(counts.early) == 10
