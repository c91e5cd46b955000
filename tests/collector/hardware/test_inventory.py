"""GPUs that should be here: by number, by name, remembered, replaced."""

from __future__ import annotations

import pytest

from collector.hardware.desk import HardwareDesk
from collector.hardware.inventory import Inventory
from collector.hardware.policies import POLICIES
from telemetry.events import Event, EventKind
from telemetry.samples import GpuSample

NOW = 1_700_000_000_000_000


@pytest.fixture
def desk(tmp_path):
    return HardwareDesk(tmp_path / "hardware.json", host="node-1", policy=POLICIES["nvidia"], boot="b")


def remember(desk, *uuids):
    desk.observe([GpuSample(at_us=NOW, gpu_uuid=uuid, host="node-1") for uuid in uuids])


def read(inventory):
    records = inventory.read(NOW).records
    down = [record.gpu_uuid for record in records if isinstance(record, GpuSample) and not record.up]
    return down, [(event.kind, event.code, event.message) for event in records if isinstance(event, Event)]


def test_a_missing_gpu_of_the_list_is_down_with_its_name(desk):
    seen = ["GPU-a"]
    inventory = Inventory(("GPU-a", "GPU-b"), desk, lambda: seen, grace_seconds=0)
    first, again = read(inventory), read(inventory)
    seen.append("GPU-b")
    assert first == (["GPU-b"], [(EventKind.GPU_LOST, 0, "1 of 2 expected GPUs are here; missing: GPU-b")])
    assert again == (["GPU-b"], [])
    assert read(inventory) == ([], [(EventKind.GPU_BACK, 0, "2 of 2 expected GPUs are here")])


def test_with_a_number_the_remembered_ones_are_missing(desk):
    remember(desk, "GPU-a", "GPU-b")
    assert read(Inventory(2, desk, lambda: ["GPU-a"], grace_seconds=0))[0] == ["GPU-b"]


def test_a_gpu_that_was_never_seen_has_no_name_and_is_told_all_the_same(desk):
    down, events = read(Inventory(8, desk, lambda: [f"GPU-{n}" for n in range(7)], grace_seconds=0))
    assert down == []
    assert events == [(EventKind.GPU_LOST, 1, "7 of 8 expected GPUs are here; missing: 1 never seen")]


def test_a_replaced_gpu_is_forgotten(desk):
    remember(desk, "GPU-old", "GPU-b")
    assert read(Inventory(2, desk, lambda: ["GPU-b", "GPU-new"], grace_seconds=0))[0] == []
    assert desk.known_gpus() == ["GPU-b"]


def test_nothing_is_said_while_the_driver_may_still_be_looking(desk):
    assert read(Inventory(2, desk, list, grace_seconds=60)) == ([], [])


def test_those_with_a_name_and_those_without_are_told_apart(desk):
    remember(desk, "GPU-a", "GPU-b")
    down, events = read(Inventory(4, desk, lambda: ["GPU-a"], grace_seconds=0))
    assert down == ["GPU-b"]
    assert events == [(EventKind.GPU_LOST, 2, "1 of 4 expected GPUs are here; missing: 2 never seen, GPU-b")]


def test_the_first_judgement_after_a_start_is_told_so_that_what_stood_before_it_ends(desk):
    inventory = Inventory(1, desk, lambda: ["GPU-a"], grace_seconds=0)
    assert read(inventory)[1] == [(EventKind.GPU_BACK, 0, "1 of 1 expected GPUs are here")]
    assert read(inventory)[1] == []
