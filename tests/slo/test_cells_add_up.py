"""Folding is counting: groups sum to the whole, parts to the sum, in any order."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from slo.cells import Cells, fold, merge
from slo.indicators.ttft import Ttft
from slo.overdue import overdue
from telemetry.frame import Frame
from telemetry.requests import InFlightRequest, RequestRecord, Status

MINUTE = 60_000_000

requests = st.lists(
    st.builds(
        RequestRecord,
        request_id=st.sampled_from([f"r{n}" for n in range(40)]),
        tenant=st.sampled_from(["acme", "globex", "initech"]),
        model=st.sampled_from(["llama", "qwen"]),
        pool=st.sampled_from([None, "chat"]),
        status=st.sampled_from(Status),
        started_at_us=st.just(0),
        ended_at_us=st.integers(0, 5 * MINUTE),
        e2e_us=st.integers(0, 5_000_000),
        ttft_us=st.none() | st.integers(0, 4_000_000),
    ),
    max_size=30,
)


def recount(records, objective, columns):
    """Count one by one what `fold` counts at once."""
    good, total = Counter(), Counter()
    for record in records:
        verdicts = objective.indicator.judge(Frame.of("requests", [record]))
        words = (getattr(record, column) for column in columns)
        cell = (
            tuple("__unknown__" if word is None else str(word) for word in words),
            record.ended_at_us // MINUTE,
        )
        good[cell] += int(verdicts.good[0])
        total[cell] += int(verdicts.counted[0])
    return {cell: (good[cell], count) for cell, count in total.items() if count}


def as_dict(cells):
    return {
        (cells.keys[group], bucket): (good, total)
        for group, bucket, good, total in zip(
            cells.group.tolist(),
            cells.bucket.tolist(),
            cells.good.tolist(),
            cells.total.tolist(),
            strict=True,
        )
    }


def same(left, right):
    return left.keys == right.keys and all(
        np.array_equal(getattr(left, name), getattr(right, name))
        for name in ("group", "bucket", "good", "total")
    )


@given(requests)
@settings(max_examples=60, deadline=None)
def test_fold_equals_a_recount_one_by_one(objective_of, records):
    objective = objective_of(indicator=Ttft(2_000_000), group_by=("pool", "tenant"))
    assert as_dict(fold(Frame.of("requests", records), objective)) == recount(
        records, objective, ("pool", "tenant")
    )


@given(requests, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_merging_parts_in_any_order_is_folding_the_whole(objective_of, records, chance):
    objective = objective_of(indicator=Ttft(2_000_000), group_by=("model", "tenant"))
    whole = fold(Frame.of("requests", records), objective)
    chance.shuffle(records)
    cuts = sorted(chance.choices(range(len(records) + 1), k=3))
    parts = [records[a:b] for a, b in zip([0, *cuts], [*cuts, len(records)], strict=True)]
    assert same(merge([fold(Frame.of("requests", part), objective) for part in parts]), whole)


@given(requests)
@settings(max_examples=60, deadline=None)
def test_groups_sum_to_the_total(objective_of, records):
    frame = Frame.of("requests", records)
    whole = fold(frame, objective_of(indicator=Ttft(2_000_000)))
    grouped = fold(frame, objective_of(indicator=Ttft(2_000_000), group_by=("model", "tenant", "pool")))
    assert grouped.sums() == whole.sums()
    assert same(grouped.renamed([()] * len(grouped.keys)), whole)


def test_a_selector_keeps_only_its_word(objective_of, requests_frame):
    frame = requests_frame({"model": "llama"}, {"model": "qwen"}, {"model": "llama", "tenant": "globex"})
    assert fold(frame, objective_of(selector=(("model", "llama"),))).sums() == (2, 2)
    assert fold(frame, objective_of(selector=(("model", "llama"), ("tenant", "acme")))).sums() == (1, 1)
    assert fold(frame, objective_of(selector=(("model", "never-seen"),))).sums() == (0, 0)


def test_the_bucket_is_that_of_the_end_and_its_width_a_parameter(objective_of, requests_frame):
    frame = requests_frame({"ended_at_us": MINUTE - 1}, {"ended_at_us": MINUTE})
    assert fold(frame, objective_of()).bucket.tolist() == [0, 1]
    assert fold(frame, objective_of(), width_us=1_000_000).bucket.tolist() == [59, 60]


def test_an_objective_reads_no_column_it_does_not_declare(objective_of, requests_frame):
    objective = objective_of(group_by=("model",), selector=(("tenant", "acme"),))
    whole = requests_frame({}, {})
    declared = Frame("requests", 2, {name: whole.columns[name] for name in objective.columns})
    assert fold(declared, objective).sums() == (2, 2)


def test_nothing_merges_to_nothing():
    assert merge([]).sums() == (0, 0)
    assert merge([Cells.empty(), Cells.empty()]).keys == ()


def test_a_hanging_request_counts_bad_once_while_it_hangs(objective_of, in_flight_frame, requests_frame):
    objective = objective_of(indicator=Ttft(2_000_000), group_by=("tenant",))
    hanging = in_flight_frame({"at_us": 3 * MINUTE}, {"at_us": 2 * MINUTE}, {"request_id": "r2", "at_us": 1})
    first = overdue(hanging, objective, frozenset())
    assert as_dict(first.cells) == {(("acme",), 2): (0, 1)}
    assert first.ids == {"r1"}
    again = overdue(hanging, objective, first.ids)
    assert (again.cells.sums(), again.ids) == ((0, 0), frozenset())
    ended = requests_frame({"request_id": "r1", "ttft_us": 5_000_000}, {"request_id": "r2", "ttft_us": 1})
    assert fold(ended, objective, counted_early=first.ids).sums() == (1, 1)


def test_nothing_is_early_where_an_unended_request_lacks_the_group(objective_of, in_flight_frame):
    objective = objective_of(indicator=Ttft(2_000_000), group_by=("region",))
    assert overdue(in_flight_frame({"at_us": MINUTE}), objective, frozenset()).ids == frozenset()


def test_probes_in_flight_never_count(objective_of, in_flight_frame):
    probe = in_flight_frame({"at_us": MINUTE, "synthetic": True})
    assert overdue(probe, objective_of(indicator=Ttft(1)), frozenset()).cells.sums() == (0, 0)


def test_counting_early_changes_no_sum(objective_of):
    """Judged early and then ended, or judged once at the end: the same requests are bad."""
    chance = random.Random(20261121)
    objective = objective_of(indicator=Ttft(2_000_000))
    ended, hanging = [], []
    for number in range(500):
        ttft_us = chance.choice([None, chance.randrange(4_000_000)])
        e2e_us = (ttft_us or 0) + chance.randrange(4_000_000)
        status = chance.choice(list(Status)) if ttft_us is None else Status.OK
        if ttft_us is None and status is Status.OK:
            continue
        identity = {"request_id": str(number), "model": "llama", "started_at_us": 0}
        ended.append(
            RequestRecord(**identity, status=status, ended_at_us=e2e_us, e2e_us=e2e_us, ttft_us=ttft_us)
        )
        at_us = chance.randrange(e2e_us + 1)
        known = ttft_us if ttft_us is not None and ttft_us <= at_us else None
        hanging.append(InFlightRequest(**identity, at_us=at_us, ttft_us=known))
    early = overdue(Frame.of("in_flight", hanging), objective, frozenset())
    late = fold(Frame.of("requests", ended), objective, counted_early=early.ids)
    once = fold(Frame.of("requests", ended), objective)
    assert early.ids
    assert merge([early.cells, late]).sums() == once.sums()
