"""Faults of a driver and its GPUs: what happens, and what the readings must say then.

Every scenario runs the unmodified nvidia-ml-py over the compiled fake, beside a healthy neighbour
that must not notice. A fault costs its own columns and nothing else; a lost GPU keeps its identity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from collector.gpus.device import MAX_CALLS_A_TICK
from telemetry.events import EventKind
from telemetry.samples import ActivitySource

UNINITIALIZED, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, MEMORY, GPU_NOT_FOUND = 1, 3, 4, 6, 20, 28
DRIVER_NOT_LOADED, TIMEOUT, IS_LOST, RESET_REQUIRED, MISMATCH, NO_DATA = 9, 10, 15, 16, 18, 21
ARGUMENT_VERSION, UNKNOWN = 25, 999
ALL_LINKS = 0xFFFFFFFF
LOAD_MW = 600_000
COUNTERS, GPM, CLOCK, POWER = (
    ActivitySource.GPM_COUNTERS,
    ActivitySource.GPM,
    ActivitySource.CLOCK_WEIGHTED,
    ActivitySource.POWER,
)
LOST, BACK, RESET, FAULT = (
    EventKind.GPU_LOST,
    EventKind.GPU_BACK,
    EventKind.GPU_RESET,
    EventKind.SOURCE_FAULT,
)


@dataclass
class Fault:
    name: str
    happens: Callable
    says: dict = field(default_factory=dict)
    events: tuple = ()
    up: bool | None = True  # None = no row at all
    well: bool | None = None  # the reading's health; by default that of `up`
    ticks: int = 12  # more than the ring of slow readings is long
    neighbour: bool = True
    hidden: tuple = ()
    prepare: Callable | None = None


def fails(function, code):
    return lambda driver: driver.fail(0, function, code)


def shows(number, value, scope=0):
    def happen(driver):
        slot = driver.field(0, number)
        slot.id, slot.scope, slot.kind, slot.result, slot.value.whole = number, scope, 3, 0, value

    return happen


def declines(*numbers):
    def happen(driver):
        for number in numbers:
            driver.field(0, number).result = NOT_SUPPORTED

    return happen


def metrics(**values):
    def happen(driver):
        for number, value in values.items():
            driver.metric(0, int(number[1:])).value = value

    return happen


def board(**values):
    def happen(driver):
        for name, value in values.items():
            setattr(driver.gpus[0], name, value)

    return happen


def both(*happenings):
    return lambda driver: [happen(driver) for happen in happenings]


def everything_fails(code):
    """Every call of every GPU answers this, and so does a new initialisation."""

    def happen(driver):
        for knob in [*driver.gpus[0].knobs, *driver.gpus[1].knobs]:
            knob.result = code
        driver.fail(None, "nvmlInitWithFlags", code)

    return happen


def under_load(*happenings):
    return both(board(busy_percent=100, power_mw=LOAD_MW), *happenings)


def frozen(*numbers):
    """Cycle counters stand still while time passes."""

    def happen(driver):
        for number in numbers:
            driver.metric(0, number).result = NOT_SUPPORTED

    return happen


ZERO_ACTIVITY = metrics(m2=0.0, m5=0.0, m10=0.0)
NO_GPM = board(gpm_supported=0)

FAULTS = [
    # What a GPU or driver does not tell is None, and costs nothing else.
    Fault("utilization not supported", fails("nvmlDeviceGetUtilizationRates", NOT_SUPPORTED),
          {"kernel_busy_ratio": None, "memory_busy_ratio": None, "activity_source": COUNTERS, "sm_activity_ratio": 0.61}),
    Fault("utilization not permitted", fails("nvmlDeviceGetUtilizationRates", NO_PERMISSION), {"kernel_busy_ratio": None}),
    Fault("memory of another struct version", fails("nvmlDeviceGetMemoryInfo_v2", ARGUMENT_VERSION),
          {"memory_used_bytes": None, "memory_total_bytes": None, "temperature_celsius": 47.0}),
    Fault("clocks not supported", fails("nvmlDeviceGetClockInfo", NOT_SUPPORTED), {"sm_clock_mhz": None, "memory_clock_mhz": None}),
    Fault("temperature not supported", fails("nvmlDeviceGetTemperatureV", NOT_SUPPORTED), {"temperature_celsius": None}),
    Fault("event reasons without data", fails("nvmlDeviceGetCurrentClocksEventReasons", NO_DATA), {"event_reasons": None}),
    Fault("power limit not permitted", both(fails("nvmlDeviceGetEnforcedPowerLimit", NO_PERMISSION),
          fails("nvmlDeviceGetPowerManagementLimit", NO_PERMISSION)), {"power_limit_watts": None}),
    Fault("field values not permitted", fails("nvmlDeviceGetFieldValues", NO_PERMISSION),
          {"energy_millijoules_total": None, "recovery_action": None, "ecc_corrected_total": None, "power_watts": 305.0}),
    Fault("no average power", declines(185), {"power_watts": 308.0}),
    Fault("no power field at all", declines(185, 186), {"power_watts": 305.0}),
    Fault("half of a sum", declines(271), {"throttle_hardware_us_total": None, "throttle_power_us_total": 2_000_000}),
    Fault("all ones for not available", shows(74, 2**64 - 1), {"throttle_power_us_total": 2**64 // 1000}),
    Fault("a counter beyond the column", shows(94, 2**63), {"pcie_replays_total": None}),
    Fault("PCIe bytes of 32 bits", lambda driver: setattr(driver.field(0, 197), "kind", 1),
          {"pcie_tx_bytes_total": None, "pcie_rx_bytes_total": 90_000}),
    Fault("no NVLink", declines(138, 139, 161, 162, 163),
          {"nvlink_tx_bytes_total": None, "nvlink_rx_bytes_total": None, "nvlink_errors_total": None}),
    # What is told is told in the column's unit.
    Fault("NVLink 5 counts bytes", both(declines(138, 139), shows(202, 77, ALL_LINKS), shows(204, 88, ALL_LINKS)),
          {"nvlink_tx_bytes_total": 77, "nvlink_rx_bytes_total": 88}),
    Fault("NVLink errors", both(shows(161, 2, ALL_LINKS), shows(163, 3, ALL_LINKS)), {"nvlink_errors_total": 5, "nvlink_tx_bytes_total": 3_000 * 1024}),
    Fault("an uncorrected memory error", shows(4, 1), {"ecc_uncorrected_total": 1, "ecc_corrected_total": 0}),
    Fault("a row remap waits for a reset", shows(144, 1), {"remap_pending": True, "remap_failed": False}),
    Fault("a row remap failed", shows(145, 1), {"remap_failed": True}),
    Fault("rows were remapped", both(shows(142, 3), shows(143, 2)), {"remapped_rows_corrected": 3, "remapped_rows_uncorrected": 2}),
    Fault("the driver asks for a reboot", shows(230, 2), {"recovery_action": 2}),
    Fault("hardware slowdown", both(board(event_reasons=0x8), shows(270, 4_000_000)),
          {"event_reasons": 0x8, "throttle_hardware_us_total": 4_000}),
    Fault("too hot", both(board(temperature=93), shows(75, 7_000_000)), {"temperature_celsius": 93.0, "throttle_thermal_us_total": 7_000}),
    Fault("the PCIe link shrank", board(pcie_width=4, pcie_generation=1), {"pcie_width": 4, "pcie_width_max": 16, "pcie_generation": 1}),
    Fault("PCIe replays", shows(94, 9), {"pcie_replays_total": 9}),
    # The ladder: each rung that cannot tell leaves it to the next.
    Fault("no cycle counters", frozen(248, 249, 250), {"activity_source": GPM, "sm_activity_ratio": 0.61, "tensor_activity_ratio": 0.24}),
    Fault("counters are no numbers", frozen(248), {"activity_source": GPM, "dram_activity_ratio": 0.47}),
    Fault("a ratio beyond 100 %", both(frozen(248), metrics(m10=101.0)), {"activity_source": GPM, "dram_activity_ratio": None}),
    Fault("GPM not permitted", fails("nvmlGpmSampleGet", NO_PERMISSION),
          {"activity_source": CLOCK, "sm_activity_ratio": 0.4 * 1_755 / 1_980, "tensor_activity_ratio": None}),
    Fault("no memory for a GPM sample", fails("nvmlGpmSampleGet", MEMORY), {"activity_source": CLOCK, "dram_activity_ratio": None}),
    Fault("GPM metrics refused", lambda driver: driver.fail(None, "nvmlGpmMetricsGet", ARGUMENT_VERSION), {"activity_source": CLOCK}, neighbour=False),
    Fault("a clock above its maximum", board(busy_percent=100, clock_mhz=(2_100, 2_100, 2_619, 1_500)),
          {"activity_source": CLOCK, "sm_activity_ratio": 1.0}, prepare=NO_GPM),
    Fault("an idle GPU is zero, not absent", both(board(busy_percent=0, power_mw=90_000), ZERO_ACTIVITY),
          {"kernel_busy_ratio": 0.0, "sm_activity_ratio": 0.0, "tensor_activity_ratio": 0.0, "activity_source": COUNTERS}),
    Fault("an idle older GPU is zero, not absent", board(busy_percent=0), {"sm_activity_ratio": 0.0, "activity_source": CLOCK}, prepare=NO_GPM),
    Fault("counters silently zero under load", under_load(ZERO_ACTIVITY),
          {"activity_source": CLOCK, "sm_activity_ratio": 1_755 / 1_980, "tensor_activity_ratio": None}, events=(FAULT, FAULT)),
    Fault("ratios true, counters silently zero", under_load(lambda driver: driver.stop_cycles(0)),
          {"activity_source": GPM, "sm_activity_ratio": 0.61}, events=(FAULT,)),
    Fault("a spinning kernel is no liar", both(board(busy_percent=100, power_mw=150_000), ZERO_ACTIVITY),
          {"activity_source": COUNTERS, "sm_activity_ratio": 0.0}),
    # Counters that begin anew.
    Fault("the counters were reset", lambda driver: driver.reset_counters(0), {"sm_activity_ratio": 0.61}, events=(RESET,)),
    # MIG: the GPU is cut into parts while we read it.
    Fault("MIG is switched on", lambda driver: driver.partition(0, "1g.10gb", "3g.40gb"),
          {"kernel_busy_ratio": None, "power_watts": 310.0, "mig_parent_uuid": None}),
    Fault("MIG without leave to read activity", both(lambda driver: driver.partition(0, "1g.10gb"), fails("nvmlGpmMigSampleGet", NO_PERMISSION)),
          {"power_watts": 310.0}),
    # Gone: the identity stays, every reading is None.
    Fault("fell off the bus", lambda driver: driver.lose(0), {"kernel_busy_ratio": None, "power_watts": None, "activity_source": None}, up=False, events=(LOST,)),
    Fault("needs a reset", fails("nvmlDeviceGetUtilizationRates", RESET_REQUIRED), {"memory_used_bytes": None}, up=False, events=(LOST,)),
    Fault("not found any more", fails("nvmlDeviceGetUtilizationRates", NOT_FOUND), up=False, events=(LOST,)),
    Fault("its handle means nothing", fails("nvmlDeviceGetClockInfo", GPU_NOT_FOUND), up=False, events=(LOST,)),
    Fault("lost during field values", fails("nvmlDeviceGetFieldValues", IS_LOST), up=False, events=(LOST,)),
    Fault("lost during GPM", fails("nvmlGpmSampleGet", IS_LOST), up=False, events=(LOST,)),
    Fault("lost with its MIG instances", both(lambda driver: driver.partition(0, "1g.10gb"), lambda driver: driver.lose(0)), up=False, events=(LOST,)),
    Fault("the driver was unloaded", everything_fails(DRIVER_NOT_LOADED), up=False, events=(LOST,), neighbour=False),
    Fault("the driver was upgraded under us", everything_fails(MISMATCH), up=False, events=(LOST,), neighbour=False),
    Fault("the driver forgot us", everything_fails(UNINITIALIZED), up=False, events=(LOST,), neighbour=False),
    Fault("an unknown error, once", fails("nvmlDeviceGetUtilizationRates", UNKNOWN), up=None, well=False, ticks=1),
    Fault("an unknown error that stays", fails("nvmlDeviceGetUtilizationRates", UNKNOWN), up=False, events=(LOST,)),
    Fault("a timeout, once", fails("nvmlDeviceGetMemoryInfo_v2", TIMEOUT), up=None, well=False, ticks=1),
    # Older drivers lack calls.
    Fault("a driver without field values", lambda _: None, {"energy_millijoules_total": 5_000_000 + 14 * 305_000, "recovery_action": None, "power_watts": 305.0},
          hidden=("nvmlDeviceGetFieldValues",)),
    Fault("a driver without MIG", lambda _: None, {"kernel_busy_ratio": 0.4}, hidden=("nvmlDeviceGetMigMode",)),
    Fault("a driver before GPM", lambda _: None, {"activity_source": CLOCK}, hidden=("nvmlGpmQueryDeviceSupport", "nvmlGpmSampleGet", "nvmlGpmMetricsGet")),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_says_what_it_is_and_costs_nothing_else(make_bench, fault):
    bench = make_bench(gpus=2, hidden=fault.hidden, prepare=fault.prepare)
    fault.happens(bench.driver)
    bench.tick(fault.ticks)

    sample = bench.sample(0)
    assert (sample.up if sample else None) is fault.up
    assert bench.readings[0].health.ok is (bool(fault.up) if fault.well is None else fault.well)
    assert {column: getattr(sample, column) for column in fault.says} == pytest.approx(fault.says)
    assert tuple(bench.kinds(0)) == fault.events
    if sample is not None:
        uuid = bench.driver.gpus[0].uuid.decode()
        assert (sample.gpu_uuid, sample.gpu_index, sample.gpu_model) == (uuid, 0, "NVIDIA H100 80GB HBM3")
    if fault.neighbour:
        other = bench.sample(1)
        assert other.up and other.kernel_busy_ratio == 0.4 and bench.kinds(1) == []
        # Looking for a GPU that is gone initialises the driver anew: nothing lies before that tick.
        assert not fault.up or fault.hidden or fault.prepare or other.activity_source is COUNTERS


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.up], ids=lambda fault: fault.name)
def test_a_faulty_gpu_costs_no_more_calls_than_a_healthy_one(make_bench, fault):
    bench = make_bench(gpus=2, hidden=fault.hidden, prepare=fault.prepare)
    fault.happens(bench.driver)
    bench.tick(fault.ticks)
    for _ in range(20):
        before = bench.driver.calls(0) + bench.driver.calls(1) + bench.driver.calls()
        bench.tick()
        made = bench.driver.calls(0) + bench.driver.calls(1) + bench.driver.calls() - before
        rows = len(bench.samples(0)) + len(bench.samples(1))
        assert made <= rows * MAX_CALLS_A_TICK
