"""Xids by the driver's events: the real pynvml over the fake driver."""

from __future__ import annotations

import pytest

from collector.gpus.discovery import GpuDiscovery
from collector.gpus.nvml import Session
from collector.hardware.desk import HardwareDesk
from collector.hardware.kernel_log import LogFile
from collector.hardware.policies import POLICIES
from collector.hardware.sources import GpusAndXids, KernelLogFinder, KernelLogXids
from telemetry.samples import GpuSample

NOW = 1_700_000_000_000_000
SECOND = 1_000_000


@pytest.fixture
def session():
    return Session(patience_seconds=0.05)


@pytest.fixture
def desk(tmp_path):
    return HardwareDesk(tmp_path / "hardware.json", host="node-1", policy=POLICIES["nvidia"], boot="b")


@pytest.fixture
def listening(make_driver, session, desk):
    """A driver of two GPUs and a source that listens to it."""
    driver = make_driver(gpus=2)
    source = listener(session, desk)
    assert source.read(NOW).records == ()
    return driver, source


def listener(session, desk):
    *gpus, source = GpusAndXids(GpuDiscovery(session, host="node-1"), session, desk).find()
    assert gpus and source.name == "xid:driver"
    return source


def uuid(driver, gpu):
    return driver.gpus[gpu].uuid.decode()


def told(reading):
    return [(event.gpu_uuid, event.code) for event in reading.records]


def test_each_event_is_told_once_with_its_gpu(listening):
    driver, source = listening
    driver.happen(1, 79)
    driver.happen(0, 31)
    reading, again = source.read(NOW + SECOND), source.read(NOW + 2 * SECOND)
    assert told(reading) == [(uuid(driver, 1), 79), (uuid(driver, 0), 31)]
    assert reading.health.ok and again.records == ()


def test_the_past_is_not_replayed(make_driver, session, desk):
    driver = make_driver()
    driver.happen(0, 79)
    source = listener(session, desk)
    assert source.read(NOW).records == source.read(NOW).records == ()


def test_a_gpu_that_is_lost_by_the_error_is_still_named(listening):
    driver, source = listening
    driver.happen(0, 79)
    driver.lose(0)
    assert told(source.read(NOW)) == [(uuid(driver, 0), 79)]


def test_a_wait_that_fails_says_nothing_of_any_gpu_and_is_begun_anew(listening, fake_nvml, desk):
    driver, source = listening
    driver.fail(None, "nvmlEventSetWait_v2", 999)
    reading = source.read(NOW)
    driver.fail(None, "nvmlEventSetWait_v2", 0)
    assert (reading.records, reading.health.ok) == ((), False)
    assert "Unknown Error" in reading.health.error
    assert desk.troubles() == []
    assert source.read(NOW).health.ok
    driver.happen(1, 13)
    assert told(source.read(NOW)) == [(uuid(driver, 1), 13)]


def test_what_the_driver_holds_is_given_back(listening):
    driver, source = listening
    driver.fail(None, "nvmlEventSetWait_v2", 999)
    source.read(NOW)
    driver.fail(None, "nvmlEventSetWait_v2", 0)
    source.read(NOW)
    assert driver.knob(None, "nvmlEventSetFree").calls == 1
    source.close()
    calls = [driver.knob(None, name).calls for name in ("nvmlEventSetCreate", "nvmlEventSetFree")]
    assert calls == [2, 2]


def test_a_driver_that_was_initialised_anew_is_listened_to_anew(listening, session):
    driver, source = listening
    session.renew(session.generation)
    assert source.read(NOW).health.ok
    driver.happen(1, 13)
    assert told(source.read(NOW)) == [(uuid(driver, 1), 13)]


def test_a_lost_gpu_does_not_keep_the_others_from_being_heard(make_driver, session, desk):
    driver = make_driver(gpus=3)
    driver.lose(1)
    source = listener(session, desk)
    source.read(NOW)
    driver.happen(2, 94)
    assert told(source.read(NOW)) == [(uuid(driver, 2), 94)]


def test_a_gpu_that_tells_no_events_is_no_fault(make_driver, session, desk):
    driver = make_driver()
    driver.gpus[0].event_types = 0
    source = listener(session, desk)
    assert source.read(NOW).health.ok


@pytest.mark.parametrize("symbol", ["nvmlEventSetCreate", "nvmlEventSetWait_v2", "nvmlDeviceRegisterEvents"])
def test_a_driver_without_events_is_said_so(make_driver, session, desk, symbol):
    make_driver(hidden=[symbol])
    source = listener(session, desk)
    health = source.read(NOW).health
    assert not health.ok and "Function Not Found" in health.error


def test_listening_costs_one_call_a_tick(listening):
    driver, source = listening
    before = driver.calls() + driver.calls(0) + driver.calls(1)
    for _ in range(10):
        source.read(NOW)
    assert driver.calls() + driver.calls(0) + driver.calls(1) - before == 10


def test_a_storm_is_taken_in_portions(listening, desk):
    driver, source = listening
    for _ in range(600):
        driver.happen(0, 45)
    counts = []
    for tick in range(4):
        source.read(NOW + tick * SECOND)
        counts.append(desk.counts()[uuid(driver, 0), 45])
    assert counts == [256, 512, 600, 600]


def test_an_error_told_by_driver_and_kernel_log_counts_once(listening, desk, tmp_path):
    driver, source = listening
    desk.observe(
        [GpuSample(at_us=NOW, gpu_uuid=uuid(driver, 0), host="node-1", pci_bus_id="00000000:01:00.0")]
    )
    path = tmp_path / "kern.log"
    path.write_text("")
    log = KernelLogXids(LogFile(path), desk)
    log.read(NOW)
    with path.open("a") as file:
        file.write("kernel: NVRM: Xid (PCI:0000:01:00): 48, pid=77, name=python3, DBE\n" * 3)
    for _ in range(3):
        driver.happen(0, 48)
    events = [*log.read(NOW + SECOND).records, *source.read(NOW + SECOND).records]
    assert len(events) == 3
    assert desk.counts() == {(uuid(driver, 0), 48): 3}


def test_the_events_are_found_once_with_the_first_gpus(make_driver, session, desk):
    driver = make_driver()
    driver.gpus[0].absent = 1
    finder = GpusAndXids(GpuDiscovery(session, host="node-1"), session, desk)
    assert finder.find() == []
    driver.gpus[0].absent = 0
    found = [source.name for source in finder.find()]
    assert found == [f"gpu:{uuid(driver, 0)}", "xid:driver"]
    assert finder.find() == []


@pytest.mark.parametrize("first", ["driver", "kernel_log"])
def test_a_storm_told_by_both_counts_each_error_once_however_it_is_portioned(
    listening, desk, tmp_path, first
):
    driver, source = listening
    desk.observe(
        [GpuSample(at_us=NOW, gpu_uuid=uuid(driver, 0), host="node-1", pci_bus_id="00000000:01:00.0")]
    )
    path = tmp_path / "kern.log"
    path.write_text("")
    log = KernelLogXids(LogFile(path), desk)
    log.read(NOW)
    with path.open("a") as file:
        file.write("kernel: NVRM: Xid (PCI:0000:01:00): 45, pid=7, name=python3\n" * 1_000)
    for _ in range(1_000):
        driver.happen(0, 45)
    sources = [source, log] if first == "driver" else [log, source]
    for tick in range(1, 12):
        for each in sources:
            each.read(NOW + tick * SECOND)
    assert desk.counts() == {(uuid(driver, 0), 45): 1_000}


def test_a_log_that_was_named_and_cannot_be_read_is_told(desk, tmp_path):
    finder = KernelLogFinder(tmp_path / "none.log", desk)
    with pytest.raises(OSError, match=r"none\.log: No such file.*name a file"):
        finder.find()


def test_a_log_that_can_be_read_is_found_once(desk, tmp_path):
    path = tmp_path / "kern.log"
    path.write_text("")
    finder = KernelLogFinder(path, desk)
    assert [source.name for source in finder.find()] == ["xid:kernel_log"]
    assert finder.find() == []
