"""What each detector finds, and how it says so."""

from __future__ import annotations

import pytest

from anomalies.detect import detect
from anomalies.detector import registry
from telemetry.columns import TABLE
from telemetry.condition import Severity
from telemetry.samples import ReplicaState

SECOND = 1_000_000
IDLE = {
    "sm_activity_ratio": 0.01,
    "tensor_activity_ratio": 0.0,
    "dram_activity_ratio": 0.01,
    "kernel_busy_ratio": 0.0,
}


def test_every_file_of_the_folder_is_a_detector():
    assert [detector.id for detector in registry()] == ["A1", "A2", "A6", "A9", "capacity"]


@pytest.mark.parametrize("detector", registry(), ids=lambda each: each.id)
def test_a_detector_needs_only_columns_that_exist(detector):
    for need in detector.needs:
        table, column = need.split(".")
        assert TABLE[table].column(column)


@pytest.mark.parametrize("detector", registry(), ids=lambda each: each.id)
def test_a_detector_shows_only_signals_of_the_frame(fleet, busy, detector):
    frame = fleet().replica(**busy).frame()
    assert all(getattr(frame, signal).values.shape == (1, 120) for signal in detector.signals)


def test_a_healthy_fleet_is_no_finding(fleet, busy):
    assert fleet().replica("a", **busy).replica("b", **busy).classes() == []


def test_admission_deadlock_names_who_what_how_long_and_the_idle_gpu(fleet, wedged):
    finding = fleet().replica(**wedged).gpu(**IDLE).found()
    assert (finding.class_id, finding.severity, finding.replicas) == ("A1", Severity.PAGE, ("a:8000",))
    assert finding.gpus == finding.idle_gpus == ("GPU-1",)
    for part in (
        "a:8000 admits nothing",
        "6 requests wait",
        "none run",
        "59 s",
        "GPU-1 stands idle",
        "SM activity 1 %",
    ):
        assert part in finding.cause
    assert finding.score > 0.8 and finding.runner_up == "A4"


def test_admission_deadlock_starts_at_the_first_bad_sample(fleet, wedged):
    made = fleet().replica(**wedged)
    assert made.found().start_us == made.at(60) and made.found().end_us is None


def test_a_wedge_is_found_within_three_evaluations(fleet, wedged):
    made = fleet().replica(**wedged)
    found_after = next(s for s in range(61, 120) if detect(made.frame(last=s)).findings)
    assert found_after - 60 <= 10, "5 s of bad samples and the next evaluation, at 5 s each, stay under 15 s"


def test_a_wedge_is_found_on_the_recordings_step(fleet):
    made = fleet(steps=10, step_us=5 * SECOND)
    made.replica(running=[4] * 6 + [0] * 4, waiting=[0] * 6 + [5] * 4, kv=0.2, ttfts=[9] * 6 + [0] * 4)
    assert made.classes() == ["A1"]


def test_deferred_requests_get_a_minute(fleet, wedged):
    deferred = {**wedged, "capacity": 0}
    assert fleet().replica(**deferred).classes() == []
    for key in ("running", "waiting", "kv", "tokens", "prompts"):
        deferred[key] = [*deferred[key], *deferred[key][-30:]]
    assert fleet(steps=150).replica(**deferred).classes() == ["A1"]


def test_a_finding_ends_when_the_replica_works_again(fleet):
    made = fleet().replica(
        running=[8] * 40 + [0] * 40 + [8] * 40,
        waiting=[0] * 40 + [6] * 40 + [0] * 40,
        kv=0.3,
        tokens=[300] * 40 + [0] * 40 + [300] * 40,
    )
    finding = made.found()
    assert (finding.start_us, finding.end_us) == (made.at(40), made.at(79))


def hang(steps=120, since=30):
    return {
        "running": [8] * steps,
        "waiting": 0,
        "kv": [0.4] * steps,
        "tokens": [300] * since + [0] * (steps - since),
        "prompts": [50] * since + [0] * (steps - since),
    }


def test_a_hang_is_found_after_a_minute_without_a_token(fleet):
    made = fleet().replica(**hang()).gpu(**IDLE)
    finding = made.found()
    assert finding.class_id == "A2" and "8 requests run" in finding.cause and finding.runner_up == "A10"
    assert detect(made.frame(last=88)).findings == ()


def test_a_replica_with_long_gaps_of_its_own_gets_longer(fleet):
    from telemetry.frame import Frame
    from telemetry.requests import RequestRecord, Status

    slow = RequestRecord(
        request_id="r", model="m", replica="a:8000", status=Status.OK, started_at_us=0, ended_at_us=0, e2e_us=1,
        gap_buckets=(0,) * 15 + (100,),
    )  # fmt: skip
    made = fleet().replica(**hang())
    assert made.classes(requests=Frame.of("requests", [slow])) == []


def test_a_hang_with_busy_kernels_may_be_a_spin(fleet):
    finding = fleet().replica(**hang()).gpu(kernel_busy_ratio=1.0, sm_activity_ratio=0.02).found()
    assert finding.class_id == "A2" and finding.runner_up == "A3"


def test_a_full_cache_that_admits_nothing_is_not_a_deadlock(fleet):
    made = fleet().replica(
        running=[8] * 60 + [2] * 60, waiting=5, kv=[0.9] * 60 + [0.99] * 60, tokens=[300] * 60 + [0] * 60
    )
    findings = detect(made.frame()).findings
    assert [f.class_id for f in findings if f.severity is Severity.PAGE] == ["A6"]
    (finding,) = (f for f in findings if f.class_id == "A6")
    assert "KV usage 99 %" in finding.cause and "5 requests wait" in finding.cause


def test_a_cache_that_nobody_holds_has_leaked(fleet):
    made = fleet().replica(
        running=[8] * 60 + [0] * 60,
        waiting=[0] * 60 + [5] * 60,
        kv=[0.9] * 60 + [0.99] * 60,
        tokens=[300] * 60 + [0] * 60,
    )
    assert made.classes() == ["A6"] and "not released" in made.found().cause


def test_an_empty_replica_beside_a_queue_is_router_imbalance(fleet, busy):
    made = fleet().replica("a", **{**busy, "waiting": 7})
    made.replica("b", running=0, waiting=0, kv=0.0, tokens=0).gpu("GPU-2", "b")
    finding = made.found()
    assert finding.class_id == "A9" and finding.severity is Severity.TICKET
    assert finding.replicas == ("b", "a") and finding.idle_gpus == ("GPU-2",)
    assert "b stood empty while up to 7 requests waited at a" in finding.cause


def test_router_imbalance_needs_fifteen_seconds_of_one_replica(fleet, busy):
    for seconds, classes in ((14, []), (17, ["A9"])):
        empty = [3] * 60 + [0] * seconds + [3] * (60 - seconds)
        made = fleet().replica("a", **{**busy, "waiting": 7})
        made.replica("b", running=empty, waiting=0, kv=0.1, tokens=50)
        assert made.classes() == classes


def test_two_replicas_that_are_empty_in_turn_are_not_one_that_is(fleet, busy):
    turn = ([0] * 8 + [3] * 8) * 8
    made = fleet().replica("a", **{**busy, "waiting": 7})
    made.replica("b", running=turn[:120], waiting=0, kv=0.1, tokens=50)
    made.replica("c", running=turn[8:128], waiting=0, kv=0.1, tokens=50)
    assert made.classes() == []


def test_an_empty_replica_of_another_pool_is_no_room(fleet, busy):
    made = fleet().replica("a", **{**busy, "waiting": 7})
    assert made.replica("b", pool="other", running=0, waiting=0, kv=0.0, tokens=0).classes() == []


def test_samples_that_interleave_are_compared_all_the_same(fleet, busy):
    made = fleet().replica("a", skip=range(0, 120, 2), **{**busy, "waiting": 7})
    made.replica("b", skip=range(1, 120, 2), running=0, waiting=0, kv=0.0, tokens=0)
    assert made.classes() == ["A9"]


def overload(busy):
    return {**busy, "waiting": 30, "kv": 0.97, "running": 64}


def test_overload_says_what_was_asked_and_what_was_done(fleet, busy):
    finding = fleet().replica(**overload(busy)).found()
    assert (
        finding.class_id == "capacity"
        and finding.subject == finding.pool == "chat"
        and finding.idle_gpus == ()
    )
    for part in ("up to 30 requests waited", "KV usage up to 97 %", "400 tokens/s"):
        assert part in finding.cause


def test_preemptions_are_pressure_without_a_full_cache(fleet, busy):
    signals = {**overload(busy), "kv": 0.7, "preempted": 1}
    assert fleet().replica(**signals).classes() == ["capacity"]
    assert fleet().replica(**{**signals, "preempted": 0}).classes() == []


def test_pressure_that_comes_and_goes_is_one_finding(fleet, busy):
    made = fleet(steps=170)
    waves = ([30] * 15 + [0] * 40) * 4
    assert made.replica(**{**overload(busy), "waiting": waves[:170]}).classes() == ["capacity"]


def test_pressure_more_than_a_minute_apart_is_two(fleet, busy):
    waves = [30] * 20 + [0] * 80 + [30] * 20
    assert fleet().replica(**{**overload(busy), "waiting": waves}).classes() == ["capacity"] * 2


def test_one_finding_for_a_pool_however_many_replicas(fleet, busy):
    made = fleet().replica("a", **overload(busy)).replica("b", **overload(busy))
    assert made.found().replicas == ("a", "b")


def test_a_stall_explains_the_pressure_before_it(fleet):
    made = fleet(steps=150).replica(
        running=40, waiting=20, kv=[0.93] * 150, tokens=[300] * 40 + [0] * 110, prompts=[10] * 40 + [0] * 110
    )
    assert made.classes() == ["A2"]


def test_evidence_is_the_last_ten_samples_of_each_known_signal(fleet, wedged):
    finding = fleet().replica(**wedged).gpu(**IDLE).found()
    by_name = {series.signal: series.points for series in finding.evidence}
    assert set(by_name) == {"waiting", "running", "progress", "kv_usage", "sm_activity", "kernel_busy"}
    assert all(len(points) == 10 for points in by_name.values())
    assert by_name["waiting"][-1] == (finding.start_us + 59 * SECOND, 6.0)


def test_a_gpu_that_nobody_placed_is_said_to_be_unknown(fleet, wedged):
    finding = fleet().replica(**wedged).found()
    assert finding.gpus == () and "no placement names its GPU" in finding.cause


def test_the_gpus_of_one_replica_are_counted_and_all_of_them_are_named_beside_the_sentence(fleet, wedged):
    finding = fleet().replica(**wedged).gpu("GPU-1", **IDLE).gpu("GPU-2", **IDLE).found()
    assert "while its 2 GPUs stand idle (SM activity 1 %)" in finding.cause
    assert finding.idle_gpus == ("GPU-1", "GPU-2")


def test_a_sentence_has_room_for_the_first_digits_of_a_gpu(fleet, wedged):
    uuid = "GPU-9cac24c2-ce1b-5ad1-b302-a4f97bb2ecf9"
    finding = fleet().replica(**wedged).gpu(uuid, **IDLE).found()
    assert "its GPU-9cac24c2… stands idle" in finding.cause
    assert finding.gpus == (uuid,)


def test_several_wedged_replicas_are_several_findings(fleet, wedged, busy):
    made = fleet().replica("a", **wedged).replica("b", **busy).replica("c", **wedged)
    assert [f.replicas for f in detect(made.frame()).findings] == [("a",), ("c",)]


def test_a_queue_behind_a_stalled_replica_is_the_stall(fleet, wedged):
    made = fleet().replica("a", **wedged)
    made.replica("b", running=0, waiting=0, kv=0.0, tokens=0, state=ReplicaState.READY)
    assert made.classes() == ["A1"]
