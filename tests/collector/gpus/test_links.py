"""Bytes over PCIe and NVLink: by the driver's counters, else by adding up the rates that GPM tells."""

from __future__ import annotations

import time

import pynvml
import pytest

from collector.gpus.gpm import MOVED, GpmReader
from telemetry.units import BYTES_PER_MIB

KIB_OF_A_YEAR = 10**12
UNSIGNED_INT, NOT_SUPPORTED = 1, 3
RATES = {20: 1_000.0, 21: 2_000.0, 60: 30_000.0, 61: 40_000.0}
FIELDS = {"pcie_tx_bytes_total": (197,), "pcie_rx_bytes_total": (198,), "nvlink_tx_bytes_total": (138,),
          "nvlink_rx_bytes_total": (139,)}  # fmt: skip


def hopper(driver):
    """Its byte counters of PCIe are 32 bits wide, those of NVLink are not told; GPM tells rates."""
    for number in (197, 198):
        driver.field(0, number).kind = UNSIGNED_INT
    for number in (138, 139):
        driver.field(0, number).result = NOT_SUPPORTED
    told = dict(RATES)
    for number, rate in told.items():
        metric = driver.metric(0, number)
        metric.id, metric.value, metric.result = number, rate, 0


def test_rates_are_added_up_over_the_time_between_two_samples(make_driver):
    hopper(make_driver())
    pynvml.nvmlInit()
    reader = GpmReader(pynvml.nvmlDeviceGetHandleByIndex(0))
    before_first = time.monotonic()
    assert reader.read().moved == {}
    after_first = time.monotonic()
    for _ in range(5):
        time.sleep(0.002)
        before_last = time.monotonic()
        moved = reader.read().moved
    after_last = time.monotonic()
    for number, column in MOVED.items():
        rate = RATES[number] * BYTES_PER_MIB
        assert rate * (before_last - after_first) <= moved[column] <= rate * (after_last - before_first)
    reader.close()


@pytest.mark.parametrize("column", FIELDS)
def test_what_no_counter_tells_is_told_by_gpm_and_never_falls(make_bench, column):
    bench = make_bench(prepare=hopper)
    told = []
    for _ in range(5):
        bench.tick()
        told.append(getattr(bench.sample(), column))
    assert None not in told and told == sorted(set(told))


def test_a_counter_of_the_driver_goes_before_the_sum_of_rates(make_bench):
    def both(driver):
        hopper(driver)
        driver.field(0, 197).kind = 3

    bench = make_bench(prepare=both)
    bench.tick(3)
    assert bench.sample().pcie_tx_bytes_total == bench.driver.field(0, 197).value.whole


def test_a_counter_never_changes_its_source_under_one_handle(make_bench):
    bench = make_bench(prepare=hopper)
    bench.tick(3)
    before = bench.sample().nvlink_tx_bytes_total
    for number in (138, 139):
        bench.driver.field(0, number).result = 0
        bench.driver.field(0, number).value.whole = KIB_OF_A_YEAR
    bench.tick(400)  # everything that was declined has been asked for again
    assert before <= bench.sample().nvlink_tx_bytes_total < KIB_OF_A_YEAR * 1_024


def test_while_gpm_is_refused_no_old_sum_is_told_again(make_bench):
    bench = make_bench(prepare=hopper)
    bench.tick(3)
    before = bench.sample().pcie_rx_bytes_total
    bench.driver.fail(0, "nvmlGpmSampleGet", 4)
    bench.tick()
    assert bench.sample().pcie_rx_bytes_total is None
    bench.driver.fail(0, "nvmlGpmSampleGet", 0)
    bench.tick(302)
    assert bench.sample().pcie_rx_bytes_total >= before


def test_without_gpm_and_without_a_counter_nothing_is_told(make_bench):
    def neither(driver):
        hopper(driver)
        driver.state.gpus[0].gpm_supported = 0

    bench = make_bench(prepare=neither)
    bench.tick(3)
    assert bench.sample().pcie_tx_bytes_total is None
