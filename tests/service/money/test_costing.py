"""Who held which GPU and in which state: the bill of a window sums to its charge, whatever is missing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost.attribution import Window
from cost.fleet import Gpu
from cost.prices import Price, PriceBook
from service.money.costing import Facts, bill
from telemetry.frame import Frame
from telemetry.placement import Placement
from telemetry.requests import RequestRecord, Status
from telemetry.samples import EngineSample, GpuSample, ReplicaState
from telemetry.units import MICROS_PER_SECOND as S

T0 = 1_700_000_000 * S
WINDOW = Window(T0, T0 + 60 * S)
PRICES = PriceBook((Price(selector="A10", nano_per_hour=1_200_000_000),))
CHARGE = 1_200_000_000 * 60 // 3_600
GAP = 10 * S


def gpus(*uuids, model="NVIDIA A10", every=1):
    return [
        GpuSample(at_us=T0 + second * S, gpu_uuid=uuid, host="h", gpu_model=model)
        for uuid in uuids
        for second in range(0, 60, every)
    ]


def engine(replica="r", seconds=range(60), **more):
    return [
        EngineSample(at_us=T0 + second * S, replica=replica, host="h", engine="vllm", **more)
        for second in seconds
    ]


def placed(uuid="GPU-1", replica="r"):
    return Placement(at_us=T0, replica=replica, gpu_uuid=uuid, host="h", model="m", pool="p")


def request(begin, end, replica="r", **more):
    return RequestRecord(
        request_id=f"{begin}-{end}-{replica}",
        tenant="t",
        model="m",
        pool="p",
        replica=replica,
        status=Status.OK,
        started_at_us=T0 + begin * S,
        ended_at_us=T0 + end * S,
        e2e_us=(end - begin) * S,
        queue_us=0,
        prompt_tokens=100,
        output_tokens=50,
        **more,
    )


def classes(samples=(), engines=(), placements=(), requests=(), known=(), prices=PRICES):
    facts = Facts(
        requests=Frame.of("requests", requests),
        engine_samples=Frame.of("engine_samples", engines),
        gpu_samples=Frame.of("gpu_samples", samples),
        placements=Frame.of("placements", placements),
    )
    ledger = bill(facts, prices=prices, objectives=(), window=WINDOW, known_gpus=known, gap_us=GAP)
    sums = {}
    for row in ledger.rows:
        sums[row.klass.value] = sums.get(row.klass.value, 0) + (row.nano or 0)
    return sums


def test_a_gpu_without_a_replica_is_idle_and_unallocated():
    assert classes(gpus("GPU-1")) == {"idle.unallocated": CHARGE}


def test_an_expected_gpu_that_is_silent_is_unobserved_and_charged():
    assert classes(known=[Gpu("GPU-1", "NVIDIA A10")]) == {"unobserved": CHARGE}


def test_a_model_that_the_samples_left_out_is_remembered():
    assert classes(gpus("GPU-1", model=None), known=[Gpu("GPU-1", "NVIDIA A10")]) == {
        "idle.unallocated": CHARGE
    }


def test_a_replica_whose_engine_is_silent_is_unobserved():
    assert classes(gpus("GPU-1"), placements=[placed()]) == {"unobserved": CHARGE}


def test_a_ready_replica_without_requests_is_idle():
    assert classes(gpus("GPU-1"), engine(), [placed()]) == {"idle.ready": CHARGE}


def test_a_silence_longer_than_the_gap_is_unobserved_and_a_shorter_one_is_not():
    short = [*range(20), *range(28, 60)]
    long = [*range(20), *range(40, 60)]
    assert classes(gpus("GPU-1"), engine(seconds=short), [placed()]) == {"idle.ready": CHARGE}
    found = classes(gpus("GPU-1"), engine(seconds=long), [placed()])
    assert found.keys() == {"idle.ready", "unobserved"} and sum(found.values()) == CHARGE
    assert abs(found["unobserved"] - CHARGE * 11 // 60) <= 1


@pytest.mark.parametrize(
    ("stage", "klass"),
    [("weights", "overhead.load"), ("compile", "overhead.warmup"), (None, "overhead.load")],
)
def test_a_start_is_overhead_by_its_stage(stage, klass):
    samples = engine(state=ReplicaState.STARTING, stage=stage)
    assert classes(gpus("GPU-1"), samples, [placed()]) == {klass: CHARGE}


def test_a_busy_engine_of_which_no_record_came_is_not_idle():
    assert classes(gpus("GPU-1"), engine(requests_running=3), [placed()]) == {"unobserved": CHARGE}


def test_requests_pay_for_the_time_they_ran():
    found = classes(gpus("GPU-1"), engine(), [placed()], [request(0, 30)])
    assert found.keys() == {"useful", "idle.ready"} and sum(found.values()) == CHARGE
    assert abs(found["useful"] - CHARGE // 2) <= 1


def test_a_gpu_that_no_price_names_is_unpriced_and_not_free():
    found = classes(gpus("GPU-1", model="NVIDIA H100"))
    assert found == {"unpriced": 0}
    assert classes(gpus("GPU-1"), prices=PriceBook(())) == {"unpriced": 0}


@settings(max_examples=40, deadline=None)
@given(
    heard=st.sets(st.integers(0, 59), max_size=30),
    spans=st.lists(st.tuples(st.integers(-20, 59), st.integers(1, 50), st.sampled_from("rq")), max_size=12),
    mapped=st.booleans(),
    nameless=st.booleans(),
)
def test_every_bill_sums_to_its_charge(heard, spans, mapped, nameless):
    requests = [request(begin, begin + long, None if nameless else name) for begin, long, name in spans]
    distinct = {each.request_id: each for each in requests}
    found = classes(
        gpus("GPU-1", "GPU-2", every=7),
        engine(seconds=sorted(heard)),
        [placed()] if mapped else [],
        list(distinct.values()),
        known=[Gpu("GPU-3", "NVIDIA A10")],
    )
    assert sum(found.values()) == 3 * CHARGE


def cut(uuid, profile, parent="GPU-1"):
    return [
        GpuSample(at_us=T0 + second * S, gpu_uuid=uuid, host="h", gpu_model="NVIDIA A10",
                  mig_parent_uuid=parent, mig_profile=profile)
        for second in range(60)
    ]  # fmt: skip


def test_mig_instances_are_no_gpus_of_their_own_on_the_bill():
    samples = gpus("GPU-1") + cut("MIG-a", "1g.10gb") + cut("MIG-b", "3g.40gb")
    assert classes(samples) == {"idle.unallocated": CHARGE}


@pytest.mark.parametrize(("profile", "slices"), [("3g.40gb", 3), ("1g.10gb", 1), ("2c.3g.40gb", 2)])
def test_a_replica_on_a_mig_instance_is_billed_its_slices_of_seven(profile, slices):
    samples = gpus("GPU-1") + cut("MIG-a", profile)
    sums = classes(samples, engine(), [placed("MIG-a")])
    assert sum(sums.values()) == CHARGE
    assert sums["idle.unallocated"] == pytest.approx(CHARGE * (7 - slices) / 7, abs=1)


def test_the_old_placement_of_a_gpu_that_was_cut_up_holds_nothing():
    samples = gpus("GPU-1") + cut("MIG-a", "3g.40gb") + cut("MIG-b", "4g.40gb")
    placements = [placed("GPU-1", "old"), placed("MIG-a", "r"), placed("MIG-b", "q")]
    assert sum(classes(samples, engine(), placements).values()) == CHARGE
