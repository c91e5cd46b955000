"""Every call answering every error, before a GPU is opened and after: nothing raises, nobody else suffers."""

from __future__ import annotations

import pytest

from collector.gpus.device import MAX_CALLS_A_TICK
from collector.gpus.nvml import DriverError

CODES = (1, 2, 3, 4, 6, 7, 9, 10, 13, 15, 16, 18, 20, 21, 25, 28, 999)
IDENTITY = ("gpu_uuid", "gpu_index", "gpu_model", "host")


def functions(fake_nvml):
    return [name for name in fake_nvml.FUNCTIONS if name.startswith(("nvmlDevice", "nvmlGpm"))]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("opened", [True, False], ids=["after opening", "while opening"])
def test_an_error_of_any_call_is_a_reading(make_bench, fake_nvml, code, opened):
    bench = make_bench(gpus=2, prepare=lambda driver: driver.partition(1, "1g.10gb"))
    driver = bench.driver
    for function in functions(fake_nvml):
        owner = (
            0 if function not in ("nvmlGpmSampleAlloc", "nvmlGpmSampleFree", "nvmlGpmMetricsGet") else None
        )
        if not opened:
            bench.sources[0].close()  # the next reading opens the GPU anew
        driver.fail(owner, function, code)
        bench.tick(2)
        sample = bench.sample(0)
        assert sample is None or not sample.up or sample.gpu_uuid == driver.gpus[0].uuid.decode()
        assert (sample is not None and sample.up) is bench.readings[0].health.ok
        if owner is not None:
            assert [row.up for row in bench.samples(1)] == [True, True], function
        driver.fail(owner, function, 0)
        bench.tick(4)
        assert bench.sample(0).up and all(getattr(bench.sample(0), name) is not None for name in IDENTITY)
        assert [row.up for row in bench.samples(1)] == [True, True], function


LOOKING = ("nvmlDeviceGetUUID", "nvmlDeviceGetName", "nvmlDeviceGetIndex", "nvmlDeviceGetPciInfo_v3")


@pytest.mark.parametrize("function", LOOKING)
@pytest.mark.parametrize("code", [code for code in CODES if code not in (1, 9, 18)])
def test_an_error_while_looking_for_gpus_hides_no_other(make_bench, function, code):
    bench = make_bench(gpus=2, prepare=lambda driver: driver.fail(0, function, code))
    assert [source.identity.index for source in bench.sources][-1] == 1


@pytest.mark.parametrize("code", [1, 9, 18])
def test_a_driver_that_is_gone_while_looking_for_gpus_is_told(make_bench, code):
    with pytest.raises(DriverError):
        make_bench(gpus=2, prepare=lambda driver: driver.fail(0, "nvmlDeviceGetName", code))


@pytest.mark.parametrize("seconds", [0.2, 1, 7, 60])
def test_activity_by_counters_is_exact_at_any_interval(make_bench, seconds):
    bench = make_bench()
    bench.driver.metric(0, 2).value = 37.25
    bench.driver.pass_time(seconds)
    bench.driver.metric(0, 2).value = 0.0
    bench.tick()
    share = 0.3725 * seconds / (seconds + 1)
    assert bench.sample(0).sm_activity_ratio == pytest.approx(share, abs=1e-9)
    before = bench.driver.calls(0) + bench.driver.calls()
    bench.tick()
    assert bench.driver.calls(0) + bench.driver.calls() - before <= MAX_CALLS_A_TICK


@pytest.mark.parametrize(
    ("give", "column"),
    [
        (lambda driver, code: setattr(driver.field(0, 82), "result", code), "memory_temperature_celsius"),
        (lambda driver, code: setattr(driver.field(0, 230), "result", code), "recovery_action"),
        (lambda driver, code: driver.fail(0, "nvmlGpmSampleGet", code), "tensor_activity_ratio"),
        (lambda driver, code: driver.fail(0, "nvmlDeviceGetUtilizationRates", code), "kernel_busy_ratio"),
    ],
)
def test_leave_given_while_we_run_is_noticed_within_minutes(make_bench, give, column):
    bench = make_bench(prepare=lambda driver: give(driver, 4))
    bench.tick(10)
    assert getattr(bench.sample(), column) is None
    give(bench.driver, 0)
    bench.tick(400)
    assert getattr(bench.sample(), column) is not None
