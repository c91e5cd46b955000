"""Laws that hold for every run on the virtual clock."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.arrivals import replay
from simulator.blocks import BlockPool
from simulator.faults import Fault, FaultKind
from simulator.fleets import replay_fleet
from simulator.world import World, simulate
from telemetry.requests import RequestRecord, Status
from telemetry.units import MICROS_PER_SECOND as S

LONG_US = 100 * S
FAULTS = (
    Fault(kind=FaultKind.WEDGE, replica="only-0", start_us=100_000, end_us=300_000),
    Fault(kind=FaultKind.HANG, replica="only-1", start_us=150_000, end_us=250_000),
    Fault(kind=FaultKind.KV_LEAK, replica="only-1", start_us=300_000, end_us=400_000),
    Fault(kind=FaultKind.RESTART, replica="only-0", start_us=350_000, end_us=380_000),
    Fault(kind=FaultKind.GPU_LOST, replica="only-1", start_us=390_000, end_us=450_000),
    Fault(kind=FaultKind.IMBALANCE, pool="only", start_us=420_000, end_us=500_000),
)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), until_us=st.integers(0, 1_000_000), faulty=st.booleans())
def test_every_arrival_ends_exactly_once_or_is_in_flight(random_arrivals, make_fleet, seed, until_us, faulty):
    arrivals = random_arrivals(seed, 200)
    run = simulate(make_fleet(2), arrivals, until_us=until_us, faults=FAULTS if faulty else ())
    seen = Counter(record.request_id for record in (*run.requests, *run.unfinished))
    assert seen == {arrival.request_id: 1 for arrival in arrivals if arrival.at_us <= until_us}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_in_the_end_nothing_is_in_flight_and_no_block_is_held(random_arrivals, make_fleet, seed):
    world = World(make_fleet(2), faults=FAULTS)
    records = [
        r for r in world.run(random_arrivals(seed, 150), until_us=LONG_US) if isinstance(r, RequestRecord)
    ]
    assert len(records) == 150
    assert [replica.engine.pool.usage_ratio for replica in world.cluster.replicas] == [0, 0]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_held_blocks_never_exceed_capacity_and_are_what_requests_hold(random_arrivals, make_fleet, seed):
    world = World(make_fleet(1), sample_us=700)
    engine = world.cluster.replicas[0].engine
    for _ in world.run(random_arrivals(seed, 150, mean_gap_us=1000), until_us=2 * S):
        own = sum(job.own_blocks for job in engine.running)
        shared = sum({id(job.prefix): job.prefix.blocks for job in engine.running if job.prefix}.values())
        assert own + shared == engine.pool.capacity - engine.pool.available
        assert 0 <= engine.pool.free <= engine.pool.capacity
        assert len(engine.running) <= engine.spec.max_sequences


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["take", "give", "keep", "leave", "leak"]), st.integers(0, 5))))
def test_blocks_are_conserved_by_every_operation(operations):
    pool, held, read = BlockPool(12), [], []
    for act, number in operations:
        if act == "take" and pool.take(number):
            held.append(number)
        elif act == "give" and held:
            pool.give(held.pop())
        elif act == "keep" and held:
            key = ("prefix", held.pop()) if number else (f"{len(read)}", held.pop())
            found = pool.keep(key)
            read.append(found) if found else held.append(key[1])
        elif act == "leave" and read:
            pool.leave(read.pop())
        elif act == "leak":
            pool.leaking = not pool.leaking
        in_use = sum({id(prefix): prefix.blocks for prefix in read}.values())
        assert pool.free + pool.idle + pool.leaked + sum(held) + in_use == pool.capacity
        assert min(pool.free, pool.idle, pool.leaked) >= 0


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_record_adds_up(random_arrivals, make_fleet, seed):
    arrivals = {arrival.request_id: arrival for arrival in random_arrivals(seed, 150)}
    for record in simulate(make_fleet(1), arrivals.values(), until_us=LONG_US).requests:
        arrival = arrivals[record.request_id]
        assert record.e2e_us == record.ended_at_us - record.started_at_us
        if record.status is Status.OK:
            assert record.output_tokens == arrival.output_tokens
            assert 0 <= record.queue_us < record.ttft_us <= record.last_token_us == record.e2e_us
            if not record.preemptions:
                # Admitted again, it may find what another request has cached meanwhile.
                assert record.prefill_tokens == record.prompt_tokens - record.cached_tokens
                assert record.prefill_tokens_recomputed == 0
            assert sum(record.gap_buckets) == record.output_tokens - 1
            assert record.run_us <= record.e2e_us - record.queue_us
        elif record.status is Status.ABORTED:
            assert record.e2e_us == arrival.patience_us
        else:
            assert (record.error_class, record.e2e_us, record.run_us) == ("context_length", 0, 0)


def test_the_same_seed_and_faults_give_the_same_run_to_the_last_field(random_arrivals, make_fleet):
    once, again = (
        simulate(make_fleet(2), random_arrivals(7, 300), until_us=LONG_US, faults=FAULTS) for _ in range(2)
    )
    assert once == again


def test_another_seed_gives_another_run(random_arrivals, make_fleet):
    once, again = (simulate(make_fleet(2), random_arrivals(s, 300), until_us=S) for s in (1, 2))
    assert once.requests != again.requests


def test_counters_equal_the_sum_of_the_records(random_arrivals, make_fleet):
    run = simulate(make_fleet(1), random_arrivals(3, 400), until_us=LONG_US)
    last = run.engines[-1]
    assert last.generation_tokens_total == sum(record.output_tokens for record in run.requests)
    assert last.preemptions_total == sum(record.preemptions for record in run.requests)
    ended = Counter(record.status for record in run.requests)
    assert (last.finished_total, last.aborted_total) == (ended[Status.OK], ended[Status.ABORTED])
    answered = [record for record in run.requests if record.ttft_us is not None]
    assert last.ttft_us_total == sum(record.ttft_us for record in answered)
    assert last.prompt_tokens_total == sum(record.prompt_tokens for record in answered)


def test_engine_and_gpu_rows_come_each_second_with_the_identity_of_their_placement(make_fleet, arrival):
    run = simulate(make_fleet(2), [arrival()], until_us=10 * S, start_us=5 * S)
    assert Counter(row.replica for row in run.engines) == {"sim-host:9000": 10, "sim-host:9001": 10}
    assert {row.at_us for row in run.gpus} == {(5 + second) * S for second in range(1, 11)}
    assert {row.gpu_uuid for row in run.gpus} == {row.gpu_uuid for row in run.placements}


def test_energy_never_falls_and_is_power_times_time(random_arrivals, make_fleet):
    run = simulate(make_fleet(2), random_arrivals(5, 300), until_us=20 * S)
    by_gpu = defaultdict(list)
    for row in run.gpus:
        by_gpu[row.gpu_uuid].append(row)
    for rows in by_gpu.values():
        for before, after in pairwise(rows):
            grown = after.energy_millijoules_total - before.energy_millijoules_total
            assert grown > 0
            assert grown == pytest.approx(after.power_watts * 1000, abs=2)


def test_activity_is_exactly_zero_over_a_second_without_a_step_and_within_bounds_else(
    random_arrivals, make_fleet
):
    run = simulate(make_fleet(1), random_arrivals(5, 300), until_us=20 * S)
    ended_us = max(record.ended_at_us for record in run.requests)
    for row in run.gpus:
        ratios = (
            row.kernel_busy_ratio,
            row.sm_activity_ratio,
            row.tensor_activity_ratio,
            row.dram_activity_ratio,
        )
        if row.at_us - S >= ended_us:
            assert ratios == (0, 0, 0, 0)
            assert row.power_watts == pytest.approx(70)
        else:
            assert all(0 < ratio <= 1 for ratio in ratios)
            assert row.kernel_busy_ratio >= row.tensor_activity_ratio


@pytest.mark.shared
def test_the_whole_azure_conversation_trace_ends_once_each(shared):
    trace = shared / "traces/azure-llm-2023/conv.csv.gz"
    run = simulate(replay_fleet(1), replay(trace), until_us=3600 * S, sample_us=10 * S)
    assert len({record.request_id for record in run.requests}) == len(run.requests) == 19_366
    assert sum(record.output_tokens for record in run.requests) == 4_088_665
    assert run.unfinished == ()
