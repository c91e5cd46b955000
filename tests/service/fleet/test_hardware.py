"""GPUs that need hands: what the driver asks for, what an agent says stands, and what ends either."""

from __future__ import annotations

import pytest

from alerts.state import Alert, AlertState
from collector.hardware.policies import Verdict
from collector.hardware.reports import Report, Route
from collector.hardware.sentences import xid_sentence
from service.fleet.hardware import GPU_DEGRADED, GPU_RECOVERY, GPU_XID, SLOW_SAMPLES, conditions
from telemetry.condition import Holds, Severity
from telemetry.events import Event, EventKind
from telemetry.frame import Frame
from telemetry.samples import GpuSample

NOW = 1_700_000_000_000_000
SECOND = 1_000_000
GPU = "GPU-1"
LABELS = {"gpu_uuid": GPU, "host": "h"}


def sample(action, at_us=NOW, gpu=GPU, **more):
    return GpuSample(at_us=at_us, gpu_uuid=gpu, host="h", recovery_action=action, **more)


def xid(code=79, verdict=Verdict.FATAL, at_us=NOW, gpu=GPU):
    report = Report(gpu=gpu, code=code, route=Route.DRIVER, after_us=at_us, at_us=at_us)
    message = xid_sentence(report, verdict)
    return Event(at_us=at_us, kind=EventKind.XID, host="h", gpu_uuid=gpu, code=code, message=message)


def reset(at_us, gpu=GPU):
    return Event(at_us=at_us, kind=EventKind.GPU_RESET, host="h", gpu_uuid=gpu)


def alert(name, since_us=NOW, **labels):
    return Alert(
        key="k",
        name=name,
        labels=LABELS | labels,
        state=AlertState.FIRING,
        state_since_us=since_us,
        severity=Severity.TICKET,
        annotations={},
        since_us=since_us,
    )


def judge(samples=(), events=(), expected=(GPU,), standing=()):
    found = conditions(Frame.of("gpu_samples", samples), Frame.of("events", events), expected, standing)
    return {(each.name, each.labels.get("code")): each for each in found}


def holds(**given):
    return {name: each.holds for name, each in judge(**given).items()}


def test_what_the_driver_asks_for_is_a_ticket_in_words():
    (found,) = judge([sample(0, NOW - SECOND), sample(4)]).values()
    assert (found.name, found.labels, found.severity, found.holds) == (
        GPU_RECOVERY,
        LABELS,
        Severity.TICKET,
        Holds.YES,
    )
    assert (
        found.annotations["summary"]
        == "GPU GPU-1 on h: the driver asks for a drain, then a reset of the GPU."
    )
    assert found.since_us == NOW


def test_it_ends_when_the_driver_asks_for_nothing_and_not_when_it_says_nothing():
    assert holds(samples=[sample(1, NOW - SECOND), sample(0)]) == {(GPU_RECOVERY, None): Holds.NO}
    assert holds(samples=[sample(None)], standing=[alert(GPU_RECOVERY)]) == {}
    assert holds(samples=[sample(None, up=False)]) == {}


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (Verdict.FATAL, {(GPU_XID, "79"): Holds.YES}),
        (Verdict.INSPECT, {(GPU_XID, "79"): Holds.YES}),
        (Verdict.APPLICATION, {}),
        (Verdict.IGNORED, {}),
    ],
)
def test_an_xid_is_a_ticket_where_the_agent_says_it_stands(verdict, told):
    assert holds(events=[xid(verdict=verdict)]) == told


def test_the_ticket_says_what_happened_and_what_to_do():
    (found,) = judge(events=[xid(), xid(at_us=NOW - SECOND)]).values()
    assert (
        found.annotations["summary"]
        == "GPU GPU-1 on h: Xid 79, fatal: GPU has fallen off the bus; reboot the node."
    )
    assert (found.since_us, found.labels) == (NOW, LABELS | {"code": "79"})


def test_a_reset_after_it_ends_it_and_one_before_it_does_not():
    standing = [alert(GPU_XID, code="79")]
    assert holds(events=[xid(), reset(NOW + SECOND)], standing=standing) == {(GPU_XID, "79"): Holds.NO}
    assert holds(events=[reset(NOW - SECOND), xid()], standing=standing) == {(GPU_XID, "79"): Holds.YES}
    assert holds(events=[reset(NOW + SECOND, gpu="GPU-2"), xid()], standing=standing) == {
        (GPU_XID, "79"): Holds.YES
    }


def test_the_drivers_own_later_word_ends_it():
    """The kernel line of 154 says which recovery is asked for, at last none; 162 takes 163 back."""
    for code, later in ((154, 154), (163, 162)):
        standing = [alert(GPU_XID, code=str(code))]
        word = xid(later, Verdict.IGNORED, NOW + SECOND)
        assert holds(events=[xid(code), word], standing=standing) == {(GPU_XID, str(code)): Holds.NO}
        assert holds(events=[word, xid(code, at_us=NOW + 2 * SECOND)], standing=standing) == {
            (GPU_XID, str(code)): Holds.YES
        }


def test_nothing_told_any_more_ends_nothing():
    assert holds(standing=[alert(GPU_XID, code="79"), alert(GPU_RECOVERY)]) == {}


def test_a_gpu_that_nobody_expects_any_more_ends_both():
    standing = [alert(GPU_XID, code="79"), alert(GPU_RECOVERY), alert("gpu_missing")]
    assert holds(expected=(), standing=standing) == {
        (GPU_XID, "79"): Holds.NO,
        (GPU_RECOVERY, None): Holds.NO,
    }


def test_events_of_nobody_and_of_other_kinds_are_passed_over():
    events = [
        Event(at_us=NOW, kind=EventKind.XID, host="h", code=79, message="Xid 79 at PCI 0000:65:00, fatal: x"),
        Event(at_us=NOW, kind=EventKind.DEPLOY, host="h", gpu_uuid=GPU, message="Xid 79, fatal: no"),
    ]
    assert holds(events=events) == {}


# A GPU that works and is not well.


def degraded(*samples, **given):
    found = judge(samples=samples, **given).get((GPU_DEGRADED, None))
    return None if found is None else (found.holds, found.annotations.get("summary"))


def test_a_link_that_lost_lanes_and_a_row_that_waits_are_one_ticket():
    narrow = sample(None, pcie_width=4, pcie_width_max=16, remap_pending=True)
    assert degraded(narrow) == (
        Holds.YES,
        (
            "GPU GPU-1 on h: a row remap waits for a reset: drain it, then reset it; "
            "its PCIe link has 4 of 16 lanes: seat it anew, or replace riser or board."
        ),
    )


def test_it_ends_by_a_good_sample_and_not_by_silence():
    narrow = sample(None, NOW - SECOND, pcie_width=4, pcie_width_max=16)
    whole = sample(None, pcie_width=16, pcie_width_max=16, remap_pending=False)
    assert degraded(narrow, whole) == (Holds.NO, None)
    assert degraded(narrow, sample(None, up=False))[0] is Holds.YES
    assert degraded(sample(None), standing=[alert(GPU_DEGRADED)]) is None
    assert degraded(standing=[alert(GPU_DEGRADED)], expected=()) == (Holds.NO, None)


def slowed(share, count=2 * SLOW_SAMPLES):
    cut = round(share * count)
    return [sample(None, NOW - at * SECOND, event_reasons=0x48 if at < cut else 0x4) for at in range(count)]


def test_clocks_that_are_cut_most_of_the_time_are_a_ticket_and_a_moment_is_none():
    assert degraded(*slowed(0.9)) == (
        Holds.YES, "GPU GPU-1 on h: clocks are cut: hardware slowdown, hardware thermal slowdown.",
    )  # fmt: skip
    assert degraded(*slowed(0.3)) == (Holds.NO, None)
    assert degraded(*slowed(1.0, count=SLOW_SAMPLES - 1)) == (Holds.NO, None)


def test_a_slow_gpu_is_no_fault_of_its_neighbour():
    well = [sample(None, NOW - at * SECOND, gpu="GPU-0", event_reasons=0x1) for at in range(100)]
    found = conditions(
        Frame.of("gpu_samples", [*well, *slowed(1.0)]), Frame.of("events", []), (GPU, "GPU-0"), ()
    )
    assert {each.labels["gpu_uuid"]: each.holds for each in found} == {"GPU-0": Holds.NO, GPU: Holds.YES}
