"""What the service itself writes to the facts store: cells, ledger rows, evidence."""

from __future__ import annotations

import time

import numpy as np
import pytest

from cost.classes import CostClass, Scope, Tier
from cost.ledger import LedgerRow
from service.store.cells import StoredCells
from service.store.errors import StoreRefused
from service.store.evidence import Evidence
from service.store.ledger import Interval, LedgerSum

NOW = time.time_ns() // 1_000
MINUTE = 60_000_000
START = NOW // MINUTE * MINUTE


def cells(good, total, upto, *, buckets=(0,), versions=("v1",), width=MINUTE):
    count = len(good)
    return StoredCells(
        width_us=width,
        versions=versions,
        group_keys=("g",),
        version=np.arange(count) % len(versions),
        group=np.zeros(count, dtype=np.int64),
        bucket_us=START + np.resize(buckets, count) * width,
        good=np.array(good),
        total=np.array(total),
        upto=np.full(count, upto),
    )


def read(facts, **how):
    found = facts.cells.read(**{"width_us": MINUTE, "from_us": START, "to_us": START + 10 * MINUTE, **how})
    return [
        (found.versions[v], int(b), int(g), int(t), int(u))
        for v, b, g, t, u in zip(
            found.version,
            (found.bucket_us - START) // MINUTE,
            found.good,
            found.total,
            found.upto,
            strict=True,
        )
    ]


def test_the_newest_upto_of_a_cell_holds_whatever_the_order_of_writing(facts):
    facts.cells.write(cells([5], [6], 20), written_at_us=NOW)
    facts.cells.write(cells([3], [4], 10), written_at_us=NOW + 1)
    assert read(facts) == [("v1", 0, 5, 6, 20)]


def test_writing_a_cell_again_changes_nothing(facts):
    for _ in range(3):
        facts.cells.write(cells([2**62], [2**62], 7), written_at_us=NOW)
    assert read(facts) == [("v1", 0, 2**62, 2**62, 7)]


def test_cells_are_read_by_width_version_range_and_dataset(facts):
    facts.cells.write(cells([1, 2], [1, 2], 1, versions=("v1", "v2")), written_at_us=NOW)
    facts.cells.write(cells([9], [9], 1, buckets=(20,)), written_at_us=NOW)
    facts.cells.write(cells([8], [8], 1, width=60 * MINUTE), written_at_us=NOW)
    facts.cells.write(cells([7], [7], 1), written_at_us=NOW, dataset="trace")
    assert read(facts) == [("v1", 0, 1, 1, 1), ("v2", 0, 2, 2, 1)]
    assert read(facts, version="v2") == [("v2", 0, 2, 2, 1)]
    assert read(facts, dataset="trace") == [("v1", 0, 7, 7, 1)]
    assert read(facts, version="v3") == []


def test_cells_of_many_days_are_all_kept(facts):
    days = cells([1] * 70, [1] * 70, 1, buckets=tuple(range(-70, 0)), width=1_440 * MINUTE)
    facts.cells.write(days, written_at_us=NOW, dataset="old")
    found = facts.cells.read(width_us=1_440 * MINUTE, from_us=0, to_us=2**62, dataset="old")
    assert len(found) == 70


def row(nano, *, klass=CostClass.USEFUL, tenant="t", gpu="GPU-1", start=START):
    return LedgerRow(
        from_us=start,
        to_us=start + MINUTE,
        gpu_uuid=gpu,
        replica="r",
        pool=None,
        scope=Scope.REPLICA,
        tier=Tier.ENGINE,
        klass=klass,
        tenant=tenant,
        model=None,
        nano=nano,
    )


def interval(*, minute=0, version="1", provisional=False, dataset=""):
    start = START + minute * MINUTE
    return Interval(
        version=version, start_us=start, end_us=start + MINUTE, provisional=provisional, dataset=dataset
    )


def sums(facts, *, by=(), version="1", **how):
    return facts.ledger.sums(version, from_us=START, to_us=START + 10 * MINUTE, by=by, **how)


def test_ledger_rows_come_back_as_they_were(facts):
    rows = [row(2**62), row(None, klass=CostClass.UNPRICED, tenant=None), row(0, gpu="GPU-2")]
    facts.ledger.write(interval(), rows, written_at_us=NOW)
    found = facts.ledger.rows("1", from_us=START, to_us=START + MINUTE)
    assert sorted(found, key=repr) == sorted(rows, key=repr)


def test_sums_are_exact_and_tell_what_has_no_price(facts):
    facts.ledger.write(interval(), [row(2**61), row(2**61 - 1), row(None)], written_at_us=NOW)
    assert sums(facts) == [LedgerSum((), 2**62 - 1, 1)]


def test_no_rows_sum_to_nothing(facts):
    assert sums(facts) == [LedgerSum((), 0, 0)]
    assert sums(facts, by=("class",)) == []


def test_sums_by_class_and_tenant(facts):
    rows = [row(1), row(2, tenant=None, klass=CostClass.IDLE_READY), row(4)]
    facts.ledger.write(interval(), rows, written_at_us=NOW)
    assert sums(facts, by=("class", "tenant")) == [
        LedgerSum(("idle.ready", None), 2, 0),
        LedgerSum(("useful", "t"), 5, 0),
    ]


def test_only_known_columns_are_summed_by(facts):
    with pytest.raises(StoreRefused, match="only by class"):
        sums(facts, by=("1); DROP TABLE ledger",))


def test_an_interval_written_again_counts_once(facts):
    for again in range(3):
        facts.ledger.write(interval(), [row(5), row(again)], written_at_us=NOW + again)
    assert sums(facts) == [LedgerSum((), 7, 0)]


def test_a_final_interval_stands_in_place_of_a_provisional_one_written_later(facts):
    facts.ledger.write(interval(provisional=True), [row(1)], written_at_us=NOW)
    assert sums(facts, by=("provisional",)) == [LedgerSum((True,), 1, 0)]
    facts.ledger.write(interval(), [row(2)], written_at_us=NOW + 1)
    facts.ledger.write(interval(provisional=True), [row(4)], written_at_us=NOW + 2)
    assert sums(facts, by=("provisional",)) == [LedgerSum((False,), 2, 0)]


def test_versions_intervals_and_datasets_are_apart(facts):
    for where in (interval(), interval(minute=1), interval(version="2"), interval(dataset="trace")):
        facts.ledger.write(where, [row(1)], written_at_us=NOW)
    assert sums(facts) == [LedgerSum((), 2, 0)]
    assert sums(facts, version="2") == sums(facts, dataset="trace") == [LedgerSum((), 1, 0)]


def test_evidence_is_read_once_however_often_it_was_written(facts):
    pieces = [Evidence(finding_id="f", at_us=NOW + n, name="waiting", body=f'{{"n":{n}}}') for n in range(3)]
    facts.evidence.write(pieces, written_at_us=NOW)
    facts.evidence.write(pieces[:1], written_at_us=NOW + 1)
    facts.evidence.write([], written_at_us=NOW)
    assert facts.evidence.read("f") == pieces
    assert facts.evidence.read("other") == []
