"""MIG instances are GPUs of their own, made and removed while the agent runs."""

from __future__ import annotations

from collector.gpus.device import MAX_CALLS_A_TICK
from telemetry.events import EventKind
from telemetry.samples import ActivitySource

GIB = 1 << 30
RING = 9


def instances(bench):
    return bench.samples(0)[1:]


def test_an_instance_is_a_gpu_of_its_own(make_bench):
    bench = make_bench(prepare=lambda driver: driver.partition(0, "1g.10gb", "3g.40gb"))
    whole = bench.sample(0)
    first, second = instances(bench)
    assert (first.mig_profile, second.mig_profile) == ("1g.10gb", "3g.40gb")
    assert first.mig_instance != second.mig_instance
    assert first.mig_parent_uuid == second.mig_parent_uuid == whole.gpu_uuid
    assert first.gpu_uuid.startswith("MIG-") and first.gpu_uuid != second.gpu_uuid
    assert (first.gpu_model, first.gpu_index, first.pci_bus_id) == (whole.gpu_model, 0, whole.pci_bus_id)
    assert (first.memory_total_bytes, second.memory_total_bytes) == (10 * GIB, 40 * GIB)
    assert (first.activity_source, first.sm_activity_ratio) == (ActivitySource.GPM, 0.61)


def test_what_belongs_to_the_whole_gpu_is_none_for_an_instance(make_bench):
    bench = make_bench(prepare=lambda driver: driver.partition(0, "1g.10gb"))
    (instance,) = instances(bench)
    for column in ("kernel_busy_ratio", "power_watts", "energy_millijoules_total", "sm_clock_mhz",
                   "temperature_celsius", "ecc_corrected_total", "pcie_width", "event_reasons"):  # fmt: skip
        assert getattr(instance, column) is None
    assert bench.sample(0).kernel_busy_ratio is None  # NVML does not tell it while MIG is on
    assert bench.sample(0).power_watts == 310.0


def test_an_instances_activity_comes_from_its_own_counters(make_bench):
    bench = make_bench(prepare=lambda driver: driver.partition(0, "1g.10gb", "2g.20gb"))
    bench.driver.gpus[0].instances[1].metrics[0].value = 12.0  # SM activity
    bench.tick(2)
    first, second = instances(bench)
    assert first.activity_source is second.activity_source is ActivitySource.GPM_COUNTERS
    assert (round(first.sm_activity_ratio, 6), round(second.sm_activity_ratio, 6)) == (0.61, 0.12)


def test_without_leave_to_read_activity_an_instance_has_its_memory(make_bench):
    bench = make_bench(prepare=lambda driver: driver.partition(0, "1g.10gb"))
    bench.driver.fail(0, "nvmlGpmMigSampleGet", 4)
    bench.tick(2)
    (instance,) = instances(bench)
    assert (instance.activity_source, instance.sm_activity_ratio) == (None, None)
    assert instance.memory_used_bytes == GIB


def test_instances_made_while_we_run_are_found(make_bench):
    bench = make_bench()
    assert instances(bench) == []
    bench.driver.partition(0, "1g.10gb")
    bench.tick(RING)
    assert [row.mig_profile for row in instances(bench)] == ["1g.10gb"]


def test_an_instance_that_was_removed_is_gone_at_once_and_not_lost(make_bench):
    bench = make_bench(prepare=lambda driver: driver.partition(0, "1g.10gb", "2g.20gb"))
    bench.driver.partition(0, "1g.10gb")
    bench.tick()
    assert [row.mig_profile for row in instances(bench)] == ["1g.10gb"]
    assert bench.sample(0).up and bench.kinds(0) == []


def test_one_made_anew_in_the_same_place_never_shows_the_numbers_of_the_old(make_bench):
    bench = make_bench(prepare=lambda driver: driver.partition(0, "1g.10gb"))
    old = instances(bench)[0].gpu_uuid
    bench.driver.partition(0, "2g.20gb")
    bench.driver.gpus[0].instances[0].metrics[4].value = 5.0  # its cycles begin far below
    rows = []
    for _ in range(2 * RING):
        bench.tick()
        rows += instances(bench)
    new = [row for row in rows if row.gpu_uuid != old]
    assert new and new[-1].mig_profile == "2g.20gb"
    assert all(row.sm_activity_ratio is None or round(row.sm_activity_ratio, 6) == 0.61 for row in new)


def test_mig_switched_off_brings_the_whole_gpu_back(make_bench):
    bench = make_bench(prepare=lambda driver: driver.partition(0, "1g.10gb"))
    bench.driver.partition(0)
    bench.tick(2)
    assert instances(bench) == []
    assert bench.sample(0).kernel_busy_ratio == 0.4


def test_instances_of_a_lost_gpu_are_lost_with_it(make_bench):
    bench = make_bench(prepare=lambda driver: driver.partition(0, "1g.10gb", "2g.20gb"))
    known = [row.gpu_uuid for row in instances(bench)]
    bench.driver.lose(0)
    bench.tick(2)
    assert [(row.gpu_uuid, row.up) for row in instances(bench)] == [(uuid, False) for uuid in known]
    assert all(row.memory_used_bytes is None and row.mig_parent_uuid for row in instances(bench))
    assert bench.kinds(0) == [EventKind.GPU_LOST]


def test_a_name_without_a_profile_is_told_by_slices(make_bench):
    def cut(driver):
        driver.partition(0, "3g.40gb")
        instance = driver.gpus[0].instances[0]
        instance.name, instance.compute_slices = b"NVIDIA H100 80GB HBM3", 1

    bench = make_bench(prepare=cut)
    assert instances(bench)[0].mig_profile == "1c.3g.40gb"


def test_seven_instances_cost_no_more_calls_than_seven_gpus(make_bench):
    bench = make_bench(prepare=lambda driver: driver.partition(0, *["1g.10gb"] * 7))
    for _ in range(2 * RING):
        before = bench.driver.calls(0) + bench.driver.calls()
        bench.tick()
        assert bench.driver.calls(0) + bench.driver.calls() - before <= 8 * MAX_CALLS_A_TICK


def test_buffers_of_instances_are_given_back(make_bench):
    bench = make_bench(prepare=lambda driver: driver.partition(0, "1g.10gb", "2g.20gb"))
    assert bench.driver.state.samples == 6
    bench.driver.partition(0)
    bench.tick(RING)
    assert bench.driver.state.samples == 2
    bench.sources[0].close()
    assert bench.driver.state.samples == 0
