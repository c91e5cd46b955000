"""Samples that were expected and did not come: one for each second, each once, and an objective counts them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from journal import Journal, Limits
from service.counting.counts import ObjectiveCounts
from service.counting.fold import READER, Fold
from service.counting.sightings import Sightings
from service.counting.unheard import LONGEST_US, Missing, Unheard
from service.live import LiveWindow
from service.own_metrics import Tally
from service.store.fleet import ExpectedGpu
from slo.indicators.gpu_absence import GpuAbsence
from slo.indicators.gpu_threshold import GpuThreshold
from slo.indicators.ttft import Ttft
from slo.objective import Objective
from telemetry.frame import Frame
from telemetry.samples import GpuSample
from telemetry.units import MICROS_PER_SECOND as S

NOW = 1_700_000_040 * S
TARGET = Decimal("0.99")


def gpu(number, host="h"):
    return ExpectedGpu(gpu_uuid=f"GPU-{number}", host=host, gpu_model="A10", since_us=1)


def told(frame):
    return list(zip(frame.texts("gpu_uuid").listed(), frame.numbers("at_us").values.tolist(), strict=True))


def test_every_second_since_it_was_heard_is_one_sample_and_told_once():
    missing = Missing()
    silent = [Unheard(gpu(1), NOW - 3 * S), Unheard(gpu(2), NOW - S // 2)]
    first = missing.samples(silent, NOW)
    assert told(first) == [("GPU-1", NOW - 2 * S), ("GPU-1", NOW - S), ("GPU-1", NOW)]
    assert not first.numbers("up").values.any()
    assert told(missing.samples(silent, NOW)) == []
    again = missing.samples(silent, NOW + 2 * S)
    assert told(again) == [
        ("GPU-1", NOW + S),
        ("GPU-1", NOW + 2 * S),
        ("GPU-2", NOW + S // 2),
        ("GPU-2", NOW + 3 * S // 2),
    ]


def test_who_is_heard_again_and_falls_silent_again_begins_anew():
    missing = Missing()
    missing.samples([Unheard(gpu(1), NOW)], NOW + 5 * S)
    assert told(missing.samples([], NOW + 6 * S)) == []
    assert len(told(missing.samples([Unheard(gpu(1), NOW + 50 * S)], NOW + 60 * S))) == 10


def test_what_is_caught_up_with_is_bounded():
    assert missing_rows(NOW - 10**6 * S) == LONGEST_US // S


def missing_rows(since_us):
    return Missing().samples([Unheard(gpu(1), since_us)], NOW).rows


@pytest.fixture
def fold(tmp_path):
    journal = Journal.open(tmp_path / "journal.db", Limits(ballast_bytes=0), readers=(READER,))
    objectives = [
        Objective(name="gpus", indicator=GpuAbsence(), target=TARGET, group_by=("host",)),
        Objective(name="cool", indicator=GpuThreshold("temperature_celsius", Decimal(85)), target=TARGET),
        Objective(name="ttft", indicator=Ttft(1), target=TARGET),
    ]
    notes = {}
    yield Fold(
        journal,
        LiveWindow(),
        [ObjectiveCounts(each, now_us=NOW, group_cap=10) for each in objectives],
        cells=None,
        sightings=Sightings(notes, 0),
        tally=Tally(),
        clock=lambda: NOW,
        vantages={},
    )
    journal.close()


def test_absence_counts_them_by_group_and_nothing_else_does(fold):
    gpus, cool, ttft = fold.counts
    there = Frame.of(
        "gpu_samples", [GpuSample(at_us=NOW - at * S, gpu_uuid="GPU-9", host="i") for at in range(5)]
    )
    gpus.fold_ended(there, 1)
    fold.count_missing(
        Missing().samples([Unheard(gpu(1), NOW - 3 * S), Unheard(gpu(2, "i"), NOW - 2 * S)], NOW)
    )
    counted = gpus.ring.counts()
    windows = dict(
        zip(
            counted.keys, zip(counted.good[-1].tolist(), counted.total[-1].tolist(), strict=True), strict=True
        )
    )
    assert windows == {("h",): (0, 3), ("i",): (5, 7)}
    assert [each.ring.counts().total.sum() for each in (cool, ttft)] == [0, 0]


def test_nothing_missing_touches_nothing(fold):
    fold.count_missing(Missing().samples([], NOW))
    assert all(len(each.take_touched().bucket) == 0 for each in fold.counts)
