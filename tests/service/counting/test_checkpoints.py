"""A restart takes up counts from a checkpoint and what was written since; a damaged one is no harm."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest

from service.counting.checkpoints import LIST, Checkpoints
from service.counting.counts import MINUTES_A_DAY, LoadedCells, ObjectiveCounts, judge_counts
from service.counting.sightings import Sightings
from service.counting.taking_up import Counting
from slo.cells import Cells, merge
from slo.indicators.ttft import Ttft
from slo.objective import Objective
from telemetry.frame import Frame
from telemetry.requests import RequestRecord, Status
from telemetry.units import MICROS_PER_MINUTE, MICROS_PER_SECOND

NOW_US = 1_700_000_040 * MICROS_PER_SECOND
HOUR_US = 60 * MICROS_PER_MINUTE
OBJECTIVE = Objective(
    name="ttft", indicator=Ttft(limit_us=MICROS_PER_SECOND), target=Decimal("0.99"), group_by=("tenant",)
)


class Notes(dict):
    def set(self, values):
        self.update(values)


class Stored:
    """The stored cells of one version, the newest of each, and what was asked for."""

    def __init__(self):
        self.rows, self.asked = {}, []

    def write(self, _version, _width_us, cells, upto, *, phase_us=0):
        rows = (column.tolist() for column in (cells.group, cells.bucket, cells.good, cells.total))
        for group, bucket, good, total in zip(*rows, strict=True):
            self.rows[cells.keys[group], bucket] = (good, total, upto)

    def read(self, _version, _width_us, from_bucket, to_bucket=None, *, phase_us=0, since=-1):
        end = 2**62 if to_bucket is None else to_bucket
        chosen = sorted(
            (key, bucket, *counts)
            for (key, bucket), counts in self.rows.items()
            if from_bucket <= bucket < end and counts[2] >= since
        )
        self.asked.append(len(chosen))
        bucket, good, total, upto = np.array([row[1:] for row in chosen], dtype=np.int64).reshape(-1, 4).T
        keys = [row[0] for row in chosen]
        return LoadedCells(
            Cells.of(keys, group=np.arange(len(keys)), bucket=bucket, good=good, total=total), upto
        )


class House:
    """One objective counted, killed and counted again, over the same stores."""

    def __init__(self, folder, *, group_cap=10):
        self.checkpoints, self.stored, self.notes = Checkpoints(folder), Stored(), Notes()
        self.group_cap, self.entry, self.cursor = group_cap, 0, 0
        self.counting = Counting(self.notes, self.stored, group_cap, self.checkpoints)
        self.counts = ObjectiveCounts(OBJECTIVE, now_us=NOW_US, group_cap=group_cap)
        self.counting.note([self.counts], 0)

    def count(self, *requests):
        """Count requests given as (tenant, minutes ago, good) in one entry, and write the cells."""
        self.entry += 1
        records = [
            RequestRecord(
                request_id=f"{self.entry}-{at}",
                tenant=tenant,
                model="m",
                status=Status.OK,
                started_at_us=0,
                ended_at_us=NOW_US - ago * MICROS_PER_MINUTE,
                e2e_us=3_000_000,
                ttft_us=1 if good else 2_000_000,
                output_tokens=5,
            )
            for at, (tenant, ago, good) in enumerate(requests)
        ]
        self.counts.fold_ended(Frame.of("requests", records), self.entry)
        self.write()

    def write(self):
        self.stored.write("", MICROS_PER_MINUTE, self.counts.take_touched(), self.entry)
        self.cursor = self.entry

    def keep(self, at_us=NOW_US):
        keys, days = self.counts.changed()
        oldest = self.counts.ring.held_from_us // MICROS_PER_MINUTE // MINUTES_A_DAY
        version = OBJECTIVE.version
        self.checkpoints.keep(version, keys, days, upto=self.cursor, at_us=at_us, oldest=oldest)
        return days

    def restart(self, now_us=NOW_US):
        """Return what a new process counts, and what one without a checkpoint would."""
        self.stored.asked.clear()
        sightings = Sightings(self.notes, self.cursor)
        (self.counts,) = self.counting.taken_up([OBJECTIVE], sightings, now_us)
        self.read = sum(self.stored.asked)
        (plain,) = Counting(self.notes, self.stored, self.group_cap).taken_up([OBJECTIVE], sightings, now_us)
        return windows(self.counts, now_us), windows(plain, now_us)


def windows(counts, now_us):
    """Return (good, total) of every window by group."""
    (judged,) = judge_counts([counts], now_us)
    sums = np.stack((judged.counts.good, judged.counts.total))
    return {key: sums[:, :, at].tolist() for at, key in enumerate(judged.counts.keys)}


def test_only_what_was_written_since_is_read_from_the_cells(tmp_path):
    house = House(tmp_path)
    house.count(*[("a", ago, ago % 3 > 0) for ago in range(0, 20_000, 50)])
    house.count(("a", 2, True))
    house.keep()
    house.count(("b", 0, True), ("a", 90, False), ("a", 0, True))  # a late one and a new group among them
    found, right = house.restart()
    assert found == right and found["a",][1][-1] == 403
    assert house.read == 4  # and the last that was written before it, which may hold more than it did


@pytest.mark.parametrize("seed", range(25))
def test_counts_after_any_life_are_those_without_checkpoints(tmp_path, seed):
    chance, house, now_us = np.random.default_rng(seed), House(tmp_path), NOW_US
    for _ in range(8):
        requests = chance.integers(0, [5, 1_440, 2], (chance.integers(1, 30), 3)).tolist()
        house.count(*[(f"tenant-{tenant}", ago, good) for tenant, ago, good in requests])
        if chance.random() < 0.6:
            house.keep(now_us)
        if chance.random() < 0.4:
            house.count(("tenant-0", 1, False))
        if chance.random() < 0.5:
            found, right = house.restart(now_us)
            assert found == right
    later = now_us + int(chance.integers(0, 2 * HOUR_US))
    found, right = house.restart(later)
    assert found == right


def test_counts_that_outgrow_two_bytes_are_kept_whole(tmp_path):
    house = House(tmp_path)
    bucket = NOW_US // MICROS_PER_MINUTE
    huge = Cells.of(
        [("a",)],
        group=np.array([0]),
        bucket=np.array([bucket]),
        good=np.array([2**40]),
        total=np.array([2**41]),
    )
    house.stored.write("", MICROS_PER_MINUTE, huge, 1)
    house.cursor = house.entry = 1
    house.restart()
    house.keep()
    found, right = house.restart()
    assert found == right and found["a",][1][0] == 2**41


def test_groups_that_were_idle_for_longer_than_is_held_make_room(tmp_path):
    house = House(tmp_path, group_cap=3)
    house.count(("_gone", 31 * MINUTES_A_DAY - 1_500, True), ("a", 9_000, False), ("b", 6_000, True))
    house.count(("b", 0, True))
    house.keep()
    later = NOW_US + 2_000 * MICROS_PER_MINUTE
    found, right = house.restart(later)
    assert found == right and set(found) == {("a",), ("b",)}
    house.keep(later)
    assert house.checkpoints.find(OBJECTIVE.version).keys == (("a",), ("b",))
    found, right = house.restart(later)
    assert found == right


def test_only_days_that_changed_are_written_again(tmp_path):
    house = House(tmp_path)
    house.count(*[("a", days * MINUTES_A_DAY, True) for days in range(5)])
    assert len(house.keep()) == 5
    house.count(("a", 0, True), ("a", 3 * MINUTES_A_DAY, True))
    assert len(house.keep()) == 2
    assert house.keep() == {}
    assert len(list((tmp_path / OBJECTIVE.version).iterdir())) == 6  # five days and the list
    found, right = house.restart()
    assert found == right


def damage(path):
    path.write_bytes(path.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: damage(next(folder.glob("[0-9]*"))),
        lambda folder: next(folder.glob("[0-9]*")).unlink(),
        lambda folder: damage(folder / LIST),
        lambda folder: (folder / LIST).write_text("[]"),
        lambda folder: (folder / LIST).write_text(
            json.dumps(json.loads((folder / LIST).read_text()) | {"upto": 99})
        ),
    ],
)  # fmt: skip
def test_one_that_is_damaged_or_of_a_later_entry_is_not_used(tmp_path, harm):
    house = House(tmp_path)
    house.count(*[("a", ago, True) for ago in range(0, 3_000, 7)])
    house.keep()
    harm(tmp_path / OBJECTIVE.version)
    found, right = house.restart()
    assert found == right
    assert house.read == 429


def test_one_of_an_earlier_count_of_the_version_is_not_used(tmp_path):
    house = House(tmp_path)
    house.count(("a", 1, True))
    house.keep()
    house.notes.clear()
    house.entry = house.cursor = 7
    house.counting.note([house.counts], 7)  # it was away, and was counted anew from stored rows
    house.restart()
    assert house.read == 1


def test_nothing_is_kept_while_counts_are_not_written(tmp_path):
    house = House(tmp_path)
    house.count(("a", 1, True))
    house.counts.fold_missing(
        Frame.of(
            "requests",
            [
                RequestRecord(
                    request_id="r",
                    tenant="a",
                    model="m",
                    status=Status.OK,
                    started_at_us=0,
                    ended_at_us=NOW_US,
                    e2e_us=1,
                    ttft_us=1,
                )
            ],
        ),
        house.entry,
    )
    assert house.counts.changed() is None
    house.write()
    assert house.counts.changed() is not None


def test_checkpoints_of_what_is_no_longer_counted_are_deleted(tmp_path):
    house = House(tmp_path)
    house.count(("a", 1, True))
    house.keep()
    house.checkpoints.keep_only([OBJECTIVE.version])
    assert house.checkpoints.find(OBJECTIVE.version) is not None
    house.checkpoints.keep_only([])
    assert house.checkpoints.find(OBJECTIVE.version) is None
    Checkpoints(tmp_path / "never").keep_only([])


def test_merging_is_not_what_settling_does(tmp_path):
    """A cell read twice, once from a checkpoint and once as it was stored, counts once."""
    house = House(tmp_path)
    house.count(("a", 1, True), ("a", 1, False))
    loaded = house.stored.read("", MICROS_PER_MINUTE, 0)
    house.counts.load(loaded, {})
    assert windows(house.counts, NOW_US)["a",][1][0] == 2
    assert merge([loaded.cells, loaded.cells]).sums() == (2, 4)
