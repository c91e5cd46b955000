"""GPUs are found once each, however they come: late, twice, broken, or with a changed driver."""

from __future__ import annotations

import pytest

from collector.gpus.discovery import GpuDiscovery
from collector.gpus.nvml import DriverError, Session


@pytest.fixture
def kernel_list(tmp_path):
    """The kernel's own list of GPUs, one folder each."""
    folder = tmp_path / "gpus"
    folder.mkdir()
    (folder / "0000:01:00.0").mkdir()
    return folder


@pytest.fixture
def discovery(kernel_list):
    return GpuDiscovery(Session(patience_seconds=0.05), host="node-1", kernel_list=kernel_list)


def uuids(found):
    return [source.identity.uuid[-1] for source in found]


def test_why_there_is_no_driver_is_said(make_driver, discovery, fake_nvml):
    driver = make_driver()
    driver.fail(None, "nvmlInitWithFlags", fake_nvml.DRIVER_NOT_LOADED)
    with pytest.raises(DriverError, match=r"Driver Not Loaded.*nvidia-smi"):
        discovery.find()


def test_each_gpu_is_returned_once(make_driver, discovery):
    make_driver(gpus=3)
    assert len(discovery.find()) == 3
    assert discovery.find() == []


def test_two_places_with_one_uuid_are_one_gpu(make_driver, discovery):
    driver = make_driver(gpus=3)
    driver.gpus[2].uuid = driver.gpus[1].uuid
    assert len(discovery.find()) == 2


@pytest.mark.parametrize("code", [15, 16, 999, 10])
def test_a_gpu_that_is_lost_or_broken_does_not_hide_its_neighbours(make_driver, discovery, code):
    driver = make_driver(gpus=3)
    driver.fail(1, "nvmlDeviceGetName", code)
    assert uuids(discovery.find()) == ["0", "2"]


def test_one_that_was_lost_from_the_start_is_found_when_it_is_back(make_driver, discovery):
    driver = make_driver(gpus=2)
    driver.lose(1)
    assert uuids(discovery.find()) == ["0"]
    assert discovery.find() == []
    driver.restore(1)
    assert uuids(discovery.find()) == ["1"]


def test_one_that_comes_later_is_found_when_the_kernel_lists_it(make_driver, discovery, kernel_list):
    driver = make_driver(gpus=2)
    driver.gpus[1].absent = 1
    assert uuids(discovery.find()) == ["0"]
    driver.gpus[1].absent = 0
    (kernel_list / "0000:02:00.0").mkdir()
    inits = driver.state.epoch
    assert uuids(discovery.find()) == ["1"]
    assert driver.state.epoch == inits + 1


def test_a_quiet_host_is_initialised_once(make_driver, discovery):
    driver = make_driver(gpus=2)
    for _ in range(5):
        discovery.find()
    assert driver.state.epoch == 1


def test_a_known_gpu_that_is_lost_is_left_to_its_source(make_driver, discovery):
    driver = make_driver(gpus=2)
    discovery.find()
    driver.lose(1)
    discovery.find()
    discovery.find()
    assert driver.state.epoch == 1


def test_a_gpu_keeps_its_uuid_when_index_and_driver_change(make_bench):
    bench = make_bench(gpus=2)
    driver = bench.driver
    driver.lose(1)
    bench.tick()
    driver.gpus[0].absent, driver.state.driver_version = 1, b"610.10"
    driver.restore(1)
    bench.tick(2)
    assert bench.sample(1).up
    assert bench.sample(1).gpu_uuid == driver.gpus[1].uuid.decode()
    assert bench.sample(1).driver_version == "610.10"
    assert not bench.sample(0).up  # taken out
