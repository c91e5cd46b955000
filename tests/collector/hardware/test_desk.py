"""What is told, what is counted, what stands against a GPU, and what ends it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from collector.growing_file import Position
from collector.hardware.desk import EVENTS_A_MINUTE, TOLD_US, HardwareDesk
from collector.hardware.policies import POLICIES, Verdict
from collector.hardware.reports import Report, Route
from collector.hardware.sources import MemoryKeeper
from telemetry.events import Event, EventKind
from telemetry.samples import GpuSample

NOW = 1_700_000_000_000_000
SECOND = 1_000_000
GPU = "GPU-fa4e0000-0000-4000-8000-000000000000"
GOOD = GpuSample(
    at_us=NOW, gpu_uuid=GPU, host="node-1", pci_bus_id="00000000:65:00.0", energy_millijoules_total=5_000
)


@pytest.fixture
def new_desk(tmp_path):
    """A desk over the same file each time: what a restart of the agent makes."""

    made = []

    def make(policy="nvidia", boot="boot-1"):
        for desk in made:
            desk.keep()
        made[:] = [
            HardwareDesk(tmp_path / "hardware.json", host="node-1", policy=POLICIES[policy], boot=boot)
        ]
        return made[0]

    return make


def report(code=79, at_us=NOW, route=Route.KERNEL_LOG, gpu=GPU, **more):
    return Report(gpu=gpu, code=code, route=route, after_us=at_us, at_us=at_us, **more)


def standing(desk):
    return {(trouble.gpu, trouble.code): trouble.verdict for trouble in desk.troubles()}


def test_an_xid_is_an_event_with_what_to_do(new_desk):
    (event,) = new_desk().take([report(pid=1234)], NOW)
    assert event == Event(
        at_us=NOW,
        kind=EventKind.XID,
        host="node-1",
        gpu_uuid=GPU,
        code=79,
        message="Xid 79, fatal: GPU has fallen off the bus; reboot the node; process 1234",
    )


def test_both_routes_of_one_error_are_one_event_and_one_count(new_desk):
    desk = new_desk()
    events = desk.take([report(route=Route.DRIVER)], NOW) + desk.take([report(at_us=NOW + SECOND)], NOW)
    assert len(events) == 1
    assert desk.counts() == {(GPU, 79): 1}


def test_a_line_without_an_xid_is_a_remark_on_the_one_before_it(new_desk):
    desk = new_desk()
    told = desk.take([report(), report(at_us=NOW + SECOND, implied=True)], NOW)
    alone = desk.take([report(at_us=NOW + 60 * SECOND, implied=True)], NOW)
    assert (len(told), len(alone), desk.counts()) == (1, 1, {(GPU, 79): 2})


@pytest.mark.parametrize(
    ("policy", "stands"), [("nvidia", {}), ("k8s", {}), ("meta", {}), ("azure", {(GPU, 68): Verdict.FATAL})]
)
def test_the_policy_decides_what_stands(new_desk, policy, stands):
    desk = new_desk(policy)
    desk.take([report(68)], NOW)
    assert standing(desk) == stands


def test_the_kernels_word_decides_though_the_driver_told_first(new_desk):
    desk = new_desk()
    desk.take([report(145, route=Route.DRIVER)], NOW)
    before = standing(desk)
    desk.take([report(145, fatal=False)], NOW)
    assert (before, standing(desk)) == ({(GPU, 145): Verdict.INSPECT}, {})


def test_a_restart_of_the_agent_ends_nothing(new_desk):
    desk = new_desk()
    desk.observe([GOOD])
    desk.take([report()], NOW, Position("boot-1", 77))
    again = new_desk()
    assert again.observe([replace(GOOD, at_us=NOW + SECOND, energy_millijoules_total=6_000)]) == []
    assert standing(again) == {(GPU, 79): Verdict.FATAL}
    assert again.counts() == {(GPU, 79): 1}
    assert again.last_seen_us() == {(GPU, 79): NOW}
    assert again.position() == Position("boot-1", 77)
    assert again.uuid_at("0000:65:00") == GPU


def test_a_repeat_is_known_as_one_after_a_restart(new_desk):
    new_desk().take([report(route=Route.DRIVER)], NOW)
    again = new_desk()
    assert again.take([report(at_us=NOW - SECOND)], NOW + 60 * SECOND) == []
    assert again.counts() == {(GPU, 79): 1}


def test_a_good_sample_alone_is_no_evidence_and_neither_is_time(new_desk):
    desk = new_desk()
    desk.observe([GOOD])
    desk.take([report()], NOW)
    for day in range(1, 30):
        desk.observe([replace(GOOD, at_us=NOW + day * 86_400 * SECOND, energy_millijoules_total=5_000 + day)])
    assert standing(desk) == {(GPU, 79): Verdict.FATAL}


def test_a_reset_seen_in_the_energy_counter_ends_it_even_across_a_restart(new_desk):
    desk = new_desk()
    desk.observe([GOOD])
    desk.take([report(), report(48)], NOW)
    again = new_desk()
    (event,) = again.observe([replace(GOOD, at_us=NOW + SECOND, energy_millijoules_total=10)])
    assert standing(again) == {} and new_desk().troubles() == []
    assert (event.kind, event.message) == (EventKind.GPU_RESET, "the GPU was reset; Xid 79, 48 is over")
    assert again.counts() == {(GPU, 79): 1, (GPU, 48): 1}


def test_a_reset_that_the_source_tells_is_not_told_twice(new_desk):
    desk = new_desk()
    desk.observe([GOOD])
    desk.take([report()], NOW)
    told = Event(at_us=NOW, kind=EventKind.GPU_RESET, host="node-1", gpu_uuid=GPU)
    assert desk.observe([replace(GOOD, energy_millijoules_total=1), told]) == []
    assert standing(desk) == {}


def test_a_reset_while_the_gpu_is_still_down_ends_nothing(new_desk):
    desk = new_desk()
    desk.observe([GOOD])
    desk.take([report()], NOW)
    desk.observe([GpuSample(at_us=NOW, gpu_uuid=GPU, host="node-1", up=False)])
    assert standing(desk) == {(GPU, 79): Verdict.FATAL}


def test_another_boot_of_the_host_with_a_good_sample_ends_it(new_desk):
    desk = new_desk()
    desk.observe([GOOD])
    desk.take([report()], NOW)
    rebooted = new_desk(boot="boot-2")
    before = standing(rebooted)
    rebooted.observe([replace(GOOD, energy_millijoules_total=9_000)])
    assert (before, standing(rebooted)) == ({(GPU, 79): Verdict.FATAL}, {})


def test_the_driver_that_asks_for_no_recovery_any_more_ends_it(new_desk):
    desk = new_desk()
    desk.observe([replace(GOOD, recovery_action=0)])
    desk.take([report(64)], NOW)
    desk.observe([replace(GOOD, recovery_action=0)])
    still = standing(desk)
    desk.observe([replace(GOOD, recovery_action=1)])
    asked = standing(desk)
    desk.observe([replace(GOOD, recovery_action=0)])
    assert (still, asked, standing(desk)) == ({(GPU, 64): Verdict.FATAL}, {(GPU, 64): Verdict.FATAL}, {})


def test_a_value_not_told_for_once_is_not_forgotten(new_desk):
    desk = new_desk()
    desk.observe([GOOD])
    desk.take([report()], NOW)
    desk.observe([replace(GOOD, energy_millijoules_total=None)])
    desk.observe([replace(GOOD, energy_millijoules_total=7)])
    assert standing(desk) == {}


def test_what_was_told_of_an_address_goes_to_the_gpu_that_is_found_there(new_desk):
    desk = new_desk()
    (event,) = desk.take([report(gpu=desk.uuid_at("0000:65:00"))], NOW)
    assert (event.gpu_uuid, "at PCI 0000:65:00" in event.message) == (None, True)
    desk.observe([GOOD])
    assert standing(desk) == {(GPU, 79): Verdict.FATAL}
    assert (desk.counts(), desk.last_seen_us()) == ({(GPU, 79): 1}, {(GPU, 79): NOW})


def test_a_storm_is_counted_whole_and_told_in_part(new_desk):
    desk = new_desk()
    # What one fleet had in three hours, here in seconds.
    events = desk.take([report(45, at_us=NOW + number * SECOND // 20) for number in range(672)], NOW)
    later = desk.take([report(45, at_us=NOW + 120 * SECOND)], NOW)
    assert desk.counts() == {(GPU, 45): 673}
    assert len(events) == EVENTS_A_MINUTE
    assert desk.held_back == 672 - EVENTS_A_MINUTE
    assert "and 662 more before" in later[0].message
    assert desk.troubles() == []


def test_what_is_too_old_to_be_told_still_stands(new_desk):
    desk = new_desk()
    assert desk.take([report(at_us=NOW - TOLD_US)], NOW) == []
    assert standing(desk) == {(GPU, 79): Verdict.FATAL}


def test_a_forced_slowdown_and_memory_errors_are_events_when_they_begin(new_desk):
    desk = new_desk()
    steps = [
        replace(GOOD, event_reasons=0x4, ecc_uncorrected_total=3),
        replace(GOOD, event_reasons=0x44, ecc_uncorrected_total=3),
        replace(GOOD, event_reasons=0xC8, ecc_uncorrected_total=5, remap_pending=True),
        replace(GOOD, event_reasons=0x0, ecc_uncorrected_total=5, remap_pending=True, remap_failed=True),
    ]
    told = [
        [(event.kind.value, event.code, event.message) for event in desk.observe([step])] for step in steps
    ]
    assert told == [
        [],
        [("throttle", 0x40, "clocks are cut: hardware thermal slowdown")],
        [
            ("throttle", 0x88, "clocks are cut: hardware slowdown, power brake"),
            ("ecc", 2, "2 uncorrected ECC errors"),
            ("ecc", 0, "a row remap waits for a reset: drain it, then reset it"),
        ],
        [("ecc", 0, "a row remap failed: replace the GPU")],
    ]


def test_an_xid_that_another_takes_back_stands_no_longer(new_desk):
    desk = new_desk()
    desk.take([report(code=163)], NOW)
    assert standing(desk) == {(GPU, 163): Verdict.INSPECT}
    desk.take([report(code=162)], NOW)
    assert standing(desk) == {}


def test_a_kernel_line_that_comes_second_and_ends_it_is_told(new_desk):
    desk = new_desk()
    (first,) = desk.take([report(code=154, route=Route.DRIVER)], NOW)
    assert ", inspect: " in first.message and standing(desk) == {(GPU, 154): Verdict.INSPECT}
    (second,) = desk.take([report(code=154, route=Route.KERNEL_LOG, fatal=False)], NOW)
    assert ", ignored: " in second.message and standing(desk) == {}
    assert desk.counts() == {(GPU, 154): 1}


def test_a_link_that_loses_lanes_is_an_event_each_time_it_loses_more(new_desk):
    desk = new_desk()
    widths = (16, 8, 8, 4, 16)
    told = [
        [event.message for event in desk.observe([replace(GOOD, pcie_width=width, pcie_width_max=16)])]
        for width in widths
    ]
    assert [bool(events) for events in told] == [False, True, False, True, False]
    assert told[1][0].startswith("its PCIe link has 8 of 16 lanes")


@pytest.mark.parametrize("body", ["", "{", "[]", '{"version": 9}', '{"version": 1, "gpus": 3}'])
def test_a_memory_that_cannot_be_read_is_set_aside(new_desk, tmp_path, body):
    (tmp_path / "hardware.json").write_text(body)
    desk = new_desk()
    assert desk.troubles() == []
    assert (tmp_path / "hardware.unreadable").read_text() == body
    desk.take([report()], NOW)
    desk.keep()
    assert json.loads((tmp_path / "hardware.json").read_text())["counts"] == [[GPU, 79, 1, NOW]]


def test_a_disk_that_takes_nothing_is_told_and_stops_nothing(tmp_path):
    desk = HardwareDesk(tmp_path / "gone" / "x.json", host="h", policy=POLICIES["nvidia"], boot="b")
    keeper = MemoryKeeper(desk)
    assert len(desk.take([report()], NOW)) == 1
    health = keeper.read(NOW).health
    assert not health.ok and "No such file or directory" in health.error
    (tmp_path / "gone").mkdir()
    assert keeper.read(NOW).health.ok
    assert json.loads((tmp_path / "gone" / "x.json").read_text())["troubles"]


def test_nothing_is_written_while_nothing_changes(tmp_path):
    path = tmp_path / "hardware.json"
    desk = HardwareDesk(path, host="h", policy=POLICIES["nvidia"], boot="b")
    desk.observe([GOOD])
    desk.keep()
    path.unlink()
    desk.observe([replace(GOOD, at_us=NOW + 3_600 * SECOND)])
    desk.keep()
    assert not path.exists()


def test_a_part_of_a_gpu_is_not_taken_for_the_gpu(new_desk):
    desk = new_desk()
    desk.observe([replace(GOOD, gpu_uuid="MIG-1", mig_parent_uuid=GPU)])
    assert desk.known_gpus() == []
