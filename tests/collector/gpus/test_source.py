"""The real pynvml over the fake driver: what a GPU's source says in health and in trouble."""

from __future__ import annotations

import threading

import pytest

from collector.backoff import Backoff
from collector.gpus.device import MAX_CALLS_A_TICK
from collector.gpus.identity import enumerate_gpus
from collector.gpus.nvml import Session
from collector.gpus.source import GpuSource
from telemetry.events import Event, EventKind
from telemetry.samples import ActivitySource, GpuSample

NOW = 1_700_000_000_000_000
GIB = 1 << 30


@pytest.fixture
def session():
    return Session(patience_seconds=0.05)


def sources_of(session):
    return [
        GpuSource(session, gpu, host="node-1", backoff=Backoff(0.001, 0.002, jitter=False))
        for gpu in enumerate_gpus(session)[0]
    ]


def sample_of(reading):
    (sample,) = [record for record in reading.records if isinstance(record, GpuSample)]
    return sample


def events_of(reading):
    return [record.kind for record in reading.records if isinstance(record, Event)]


def test_a_healthy_gpu_fills_its_columns(make_driver, session):
    driver = make_driver()
    (source,) = sources_of(session)

    reading = source.read(NOW)

    sample = sample_of(reading)
    assert reading.health.ok and reading.health.error is None
    assert (sample.at_us, sample.gpu_uuid, sample.gpu_index) == (NOW, driver.gpus[0].uuid.decode(), 0)
    assert (sample.gpu_model, sample.pci_bus_id) == ("NVIDIA H100 80GB HBM3", "00000000:01:00.0")
    assert (sample.driver_version, sample.host, sample.up) == ("595.71.05", "node-1", True)
    assert (sample.kernel_busy_ratio, sample.memory_busy_ratio) == (0.4, 0.2)
    assert (sample.encoder_busy_ratio, sample.decoder_busy_ratio) == (0.0, 0.3)
    assert (sample.memory_total_bytes, sample.memory_used_bytes) == (80 * GIB, 60 * GIB)
    assert (sample.memory_reserved_bytes, sample.memory_free_bytes) == (GIB, 19 * GIB)
    assert (sample.power_watts, sample.power_limit_watts) == (310.0, 700.0)
    assert sample.energy_millijoules_total == 5_000_000
    assert (sample.sm_clock_mhz, sample.sm_clock_max_mhz, sample.memory_clock_mhz) == (1_755, 1_980, 2_619)
    assert (sample.temperature_celsius, sample.memory_temperature_celsius) == (47.0, 52.0)
    assert (sample.event_reasons, sample.recovery_action) == (0x4, 0)
    assert (sample.ecc_corrected_total, sample.ecc_uncorrected_total) == (0, 0)
    assert (sample.remap_pending, sample.remap_failed, sample.remapped_rows_corrected) == (False, False, 0)
    assert (sample.throttle_power_us_total, sample.throttle_thermal_us_total) == (2_000_000, 0)
    assert sample.throttle_hardware_us_total == 0
    assert (sample.pcie_generation, sample.pcie_width, sample.pcie_width_max) == (5, 16, 16)
    assert sample.pcie_replays_total == 0


def test_a_tick_costs_at_most_ten_driver_calls(make_driver, session):
    driver = make_driver()
    (source,) = sources_of(session)
    source.read(NOW)
    source.read(NOW)  # opening the GPU is over
    for _ in range(10):
        before = driver.calls(0) + driver.calls()
        source.read(NOW)
        assert driver.calls(0) + driver.calls() - before <= MAX_CALLS_A_TICK


def test_an_older_gpu_costs_no_more_and_names_its_source(make_driver, session):
    driver = make_driver()
    driver.without_gpm(0)
    (source,) = sources_of(session)
    source.read(NOW)
    before = driver.calls(0) + driver.calls()

    sample = sample_of(source.read(NOW))

    assert driver.calls(0) + driver.calls() - before <= MAX_CALLS_A_TICK
    assert sample.activity_source is ActivitySource.CLOCK_WEIGHTED
    assert (sample.sm_activity_ratio, sample.kernel_busy_ratio) == (0.4 * 1_755 / 1_980, 0.4)
    assert (sample.tensor_activity_ratio, sample.dram_activity_ratio) == (None, None)
    assert sample.power_watts == 305.0
    assert sample.recovery_action is None


def test_activity_comes_from_cycle_counters_over_the_interval(make_driver, session):
    driver = make_driver()
    (source,) = sources_of(session)
    first, _ = sample_of(source.read(NOW)), sample_of(source.read(NOW))
    driver.metric(0, 248).value += 10_000
    driver.metric(0, 249).value += 6_100
    driver.metric(0, 250).value += 2_400

    sample = sample_of(source.read(NOW))

    assert first.activity_source is ActivitySource.CLOCK_WEIGHTED  # nothing lies before the first tick
    assert sample.activity_source is ActivitySource.GPM_COUNTERS
    assert (sample.sm_activity_ratio, sample.tensor_activity_ratio) == (0.61, 0.24)
    assert (sample.dram_activity_ratio, sample.sm_occupancy_ratio) == (0.47, 0.33)


def test_a_driver_without_cycle_counters_gives_ratios(make_driver, session, fake_nvml):
    driver = make_driver()
    for number in (248, 249, 250):
        driver.metric(0, number).result = fake_nvml.NOT_SUPPORTED
    (source,) = sources_of(session)
    source.read(NOW)

    sample = sample_of(source.read(NOW))

    assert sample.activity_source is ActivitySource.GPM
    assert (sample.sm_activity_ratio, sample.tensor_activity_ratio) == (0.61, 0.24)


def test_nan_from_the_driver_is_not_a_measurement(make_driver, session):
    driver = make_driver()
    for number in (2, 5, 248, 249, 250):
        driver.metric(0, number).value = float("nan")
    (source,) = sources_of(session)
    source.read(NOW)

    sample = sample_of(source.read(NOW))

    assert (sample.sm_activity_ratio, sample.tensor_activity_ratio) == (None, None)
    assert sample.dram_activity_ratio == 0.47


@pytest.mark.parametrize(
    ("symbol", "columns"),
    [
        ("nvmlDeviceGetUtilizationRates", ("kernel_busy_ratio", "memory_busy_ratio")),
        ("nvmlDeviceGetMemoryInfo_v2", ("memory_used_bytes", "memory_total_bytes")),
        ("nvmlDeviceGetClockInfo", ("sm_clock_mhz", "memory_clock_mhz")),
        (
            "nvmlDeviceGetFieldValues",
            ("recovery_action", "memory_temperature_celsius", "pcie_tx_bytes_total"),
        ),
        ("nvmlDeviceGetMaxPcieLinkWidth", ("pcie_width_max",)),
        ("nvmlDeviceGetDecoderUtilization", ("decoder_busy_ratio",)),
        ("nvmlDeviceGetPciInfo_v3", ("pci_bus_id",)),
        ("nvmlGpmQueryDeviceSupport", ("tensor_activity_ratio", "dram_activity_ratio")),
        ("nvmlGpmSampleGet", ("sm_occupancy_ratio",)),
        ("nvmlGpmMetricsGet", ("tensor_activity_ratio",)),
    ],
)
def test_a_symbol_the_driver_lacks_costs_only_its_columns(make_driver, session, symbol, columns):
    make_driver(hidden=[symbol])
    (source,) = sources_of(session)
    source.read(NOW)

    reading = source.read(NOW)

    sample = sample_of(reading)
    assert reading.health.ok
    assert [getattr(sample, column) for column in columns] == [None] * len(columns)
    assert sample.temperature_celsius == 47.0


@pytest.mark.parametrize(
    ("symbol", "column", "value"),
    [
        ("nvmlDeviceGetTemperatureV", "temperature_celsius", 47.0),
        ("nvmlDeviceGetCurrentClocksEventReasons", "event_reasons", 0x4),
        ("nvmlDeviceGetEnforcedPowerLimit", "power_limit_watts", 700.0),
        ("nvmlDeviceGetFieldValues", "energy_millijoules_total", 5_000_000),
        ("nvmlDeviceGetFieldValues", "ecc_uncorrected_total", 0),
        ("nvmlDeviceGetFieldValues", "remap_pending", False),
        ("nvmlDeviceGetFieldValues", "remapped_rows_corrected", 0),
        ("nvmlDeviceGetFieldValues", "pcie_replays_total", 0),
        ("nvmlDeviceGetFieldValues", "throttle_power_us_total", 2_000_000),
    ],
)
def test_a_driver_without_a_call_tells_the_same_by_another(make_driver, session, symbol, column, value):
    driver = make_driver(hidden=[symbol])
    (source,) = sources_of(session)
    source.read(NOW)
    for tick in range(20):
        before = driver.calls(0) + driver.calls()
        assert getattr(sample_of(source.read(NOW + tick)), column) == value
        assert driver.calls(0) + driver.calls() - before <= MAX_CALLS_A_TICK


@pytest.mark.parametrize(
    ("function", "column"),
    [
        ("nvmlDeviceGetUtilizationRates", "kernel_busy_ratio"),
        ("nvmlDeviceGetMemoryInfo_v2", "memory_used_bytes"),
        ("nvmlDeviceGetClockInfo", "sm_clock_mhz"),
        ("nvmlDeviceGetCurrPcieLinkWidth", "pcie_width"),
        ("nvmlDeviceGetFieldValues", "recovery_action"),
        ("nvmlGpmSampleGet", "tensor_activity_ratio"),
    ],
)
def test_a_value_that_is_not_supported_is_none(make_driver, session, fake_nvml, function, column):
    driver = make_driver()
    driver.fail(0, function, fake_nvml.NOT_SUPPORTED)
    (source,) = sources_of(session)
    source.read(NOW)
    assert getattr(sample_of(source.read(NOW)), column) is None


def test_a_field_the_driver_declines_is_none_and_its_neighbours_stay(make_driver, session, fake_nvml):
    driver = make_driver()
    driver.field(0, 270).result = fake_nvml.NOT_SUPPORTED
    (source,) = sources_of(session)

    sample = sample_of(source.read(NOW))

    # Half of a sum is no sum.
    assert sample.throttle_hardware_us_total is None
    assert sample.throttle_power_us_total == 2_000_000


def test_a_value_beyond_the_columns_range_is_not_a_measurement(make_driver, session):
    driver = make_driver()
    driver.gpus[0].event_reasons = 2**64 - 1
    (source,) = sources_of(session)
    assert sample_of(source.read(NOW)).event_reasons is None


def test_a_lost_gpu_keeps_its_identity_and_nothing_else(make_driver, session):
    driver = make_driver(gpus=2)
    lost, other = sources_of(session)
    lost.read(NOW)
    driver.lose(0)

    reading, again = lost.read(NOW + 1), lost.read(NOW + 2)

    assert (sample_of(reading).up, sample_of(reading).gpu_uuid) == (False, driver.gpus[0].uuid.decode())
    assert sample_of(reading).kernel_busy_ratio is None and sample_of(reading).power_limit_watts is None
    assert not reading.health.ok and "GPU is lost" in reading.health.error
    assert events_of(reading) == [EventKind.GPU_LOST] and events_of(again) == []
    assert sample_of(other.read(NOW)).up


def test_a_gpu_that_was_lost_is_back_when_the_driver_reads_it_again(make_driver, session, eventually):
    driver = make_driver(gpus=2)
    lost, other = sources_of(session)
    lost.read(NOW)
    driver.lose(0)
    lost.read(NOW)
    driver.restore(0)

    back = eventually(lambda: reading if (reading := lost.read(NOW)).health.ok else None)

    assert sample_of(back).up and sample_of(back).kernel_busy_ratio == 0.4
    assert sample_of(other.read(NOW)).up  # its handle is of the old initialisation: taken anew


def test_coming_back_is_an_event(make_driver, session):
    driver = make_driver()
    (source,) = sources_of(session)
    driver.lose(0)
    source.read(NOW)
    driver.restore(0)
    kinds = [kind for _ in range(200) for kind in events_of(source.read(NOW))]
    assert kinds == [EventKind.GPU_BACK]


def test_a_lost_gpu_is_asked_with_growing_pauses(make_driver, session):
    driver = make_driver()
    ((gpu,), _) = enumerate_gpus(session)
    source = GpuSource(session, gpu, host="node-1", backoff=Backoff(30.0, 60.0, jitter=False))
    driver.lose(0)
    source.read(NOW)
    before = driver.calls(0) + driver.calls()
    for _ in range(20):
        assert not sample_of(source.read(NOW)).up
    assert driver.calls(0) + driver.calls() == before


def test_a_driver_that_was_reloaded_is_initialised_anew(make_driver, session, fake_nvml, eventually):
    driver = make_driver()
    (source,) = sources_of(session)
    source.read(NOW)
    driver.fail(0, "nvmlDeviceGetUtilizationRates", fake_nvml.DRIVER_NOT_LOADED)
    driver.fail(None, "nvmlInitWithFlags", fake_nvml.DRIVER_NOT_LOADED)
    assert not sample_of(source.read(NOW)).up
    assert "load the driver" in source.read(NOW).health.error
    driver.fail(0, "nvmlDeviceGetUtilizationRates", 0)
    driver.fail(None, "nvmlInitWithFlags", 0)
    driver.reset_counters(0)

    back = eventually(lambda: reading if (reading := source.read(NOW)).health.ok else None)

    assert EventKind.GPU_RESET in events_of(back)
    assert sample_of(back).energy_millijoules_total == 0


def test_counters_that_begin_again_are_told_and_give_no_negative_activity(make_driver, session):
    driver = make_driver()
    (source,) = sources_of(session)
    for _ in range(2):
        source.read(NOW)
    driver.reset_counters(0)
    driver.metric(0, 248).value, driver.metric(0, 249).value = 100.0, 70.0

    reading = source.read(NOW)

    assert events_of(reading) == [EventKind.GPU_RESET]
    assert sample_of(reading).sm_activity_ratio == 0.7


def test_a_call_that_fails_for_once_is_a_bad_reading_and_no_lost_gpu(make_driver, session, eventually):
    driver = make_driver()
    (source,) = sources_of(session)
    driver.fail(0, "nvmlDeviceGetUtilizationRates", 999)

    reading = source.read(NOW)

    assert reading.records == () and not reading.health.ok
    assert "Unknown Error" in reading.health.error
    driver.fail(0, "nvmlDeviceGetUtilizationRates", 0)
    assert eventually(lambda: source.read(NOW).health.ok)


def test_one_gpus_wedged_monitoring_leaves_the_others_their_kernel_busy(make_driver, session):
    driver = make_driver(gpus=2)
    wedged, other = sources_of(session)
    for source in (wedged, other):
        source.read(NOW)
    driver.wedge(0, "nvmlGpmSampleGet")
    thread = threading.Thread(target=wedged.read, args=(NOW,), daemon=True)
    thread.start()
    while not driver.knob(0, "nvmlGpmSampleGet").calls > 1:
        pass

    sample = sample_of(other.read(NOW))

    assert (sample.kernel_busy_ratio, sample.activity_source) == (0.4, ActivitySource.CLOCK_WEIGHTED)
    driver.release()
    thread.join(5)
    assert sample_of(other.read(NOW)).activity_source is ActivitySource.GPM


def test_the_driver_is_not_shut_down_under_a_call_that_hangs(make_driver, session):
    driver = make_driver(gpus=2)
    wedged, lost = sources_of(session)
    wedged.read(NOW), lost.read(NOW)
    driver.wedge(0, "nvmlDeviceGetUtilizationRates")
    thread = threading.Thread(target=wedged.read, args=(NOW,), daemon=True)
    thread.start()
    driver.lose(1)
    shutdowns = driver.knob(None, "nvmlShutdown").calls

    for _ in range(3):
        assert not sample_of(lost.read(NOW)).up

    assert driver.knob(None, "nvmlShutdown").calls == shutdowns
    driver.release()
    thread.join(5)


def test_buffers_of_the_driver_are_given_back(make_driver, session):
    driver = make_driver()
    (source,) = sources_of(session)
    source.read(NOW)
    assert driver.state.samples == 2
    source.close()
    assert driver.state.samples == 0


def test_an_initialisation_that_hangs_loses_no_gpu_and_ends_with_its_release(
    make_driver, session, eventually
):
    driver = make_driver(gpus=2)
    lost, _ = sources_of(session)
    patient = Backoff(30.0, 60.0, jitter=False)
    other = GpuSource(session, enumerate_gpus(session)[0][1], host="node-1", backoff=patient)
    lost.read(NOW), other.read(NOW)
    driver.lose(0)
    lost.read(NOW)
    driver.restore(0)
    driver.wedge(None, "nvmlInitWithFlags")
    inits = driver.knob(None, "nvmlInitWithFlags").calls
    thread = threading.Thread(target=lambda: eventually(lambda: lost.read(NOW).health.ok), daemon=True)
    thread.start()
    eventually(lambda: driver.knob(None, "nvmlInitWithFlags").calls > inits)

    reading = other.read(NOW)

    assert reading.records == () and "it is being initialised" in reading.health.error
    driver.release()
    thread.join(5)
    assert eventually(lambda: other.read(NOW).health.ok) and not thread.is_alive()
    assert events_of(other.read(NOW)) == []
