"""The whole agent over the fake driver and a test's HTTP servers."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request

import pytest

from collector.agent import Agent
from collector.requests.socket import RecordSender
from collector.settings import EngineTarget, Settings
from telemetry.requests import RequestRecord, Status
from telemetry.samples import GpuSample
from telemetry.source import Health, Reading
from telemetry.wire import split

FAST = {"interval_seconds": 0.05, "deadline_seconds": 0.3, "seal_seconds": 0.1, "find_engines": False}
VLLM = b'vllm:num_requests_running{engine="0",model_name="m"} 3\nvllm:kv_cache_usage_perc{engine="0"} 0.5\n'


@pytest.fixture
def run_agent(tmp_path):
    agents = []

    def start(sources=(), **given):
        settings = Settings(
            **{**FAST, "host": "node-1", "data_dir": tmp_path / "agent", "listen": ("127.0.0.1", 0), **given}
        )
        agent = Agent(settings, sources=sources)
        agents.append(agent)
        agent.start()
        return agent

    yield start
    for agent in agents:
        agent.stop()


def page(agent):
    return urllib.request.urlopen(agent.exporter.url, timeout=5).read().decode()


def series(agent, name):
    """The values of one series by its label text."""
    lines = [line for line in page(agent).splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return {line.rpartition(" ")[0].removeprefix(name): float(line.rpartition(" ")[2]) for line in lines}


def value_of(agent, name, label):
    return next((value for labels, value in series(agent, name).items() if label in labels), None)


def test_gpus_and_engines_are_found_and_exported(run_agent, make_driver, web, eventually):
    driver = make_driver(gpus=2)
    web.answer = VLLM
    agent = run_agent(engines=(EngineTarget(url=web.url + "/metrics", pool="chat"),), expected_gpus=2)
    eventually(
        lambda: len(series(agent, "inferometer_gpu_up")) == 2 and series(agent, "inferometer_engine_up")
    )
    uuid = driver.gpus[1].uuid.decode()
    assert value_of(agent, "inferometer_gpu_kernel_busy_ratio", uuid) == 0.4
    assert value_of(agent, "inferometer_gpu_sm_clock_hertz", uuid) == 1_755e6
    assert value_of(agent, "inferometer_gpu_energy_joules_total", uuid) == 5_000.0
    assert eventually(lambda: value_of(agent, "inferometer_gpu_activity_source", 'source="gpm'))
    assert value_of(agent, "inferometer_engine_kv_usage_ratio", 'pool="chat"') == 0.5
    assert series(agent, "inferometer_agent_gpus_up") == {"": 2.0}
    assert series(agent, "inferometer_agent_gpus_expected") == {"": 2.0}


def test_none_is_no_series_and_zero_is_one(run_agent, make_driver, eventually):
    driver = make_driver()
    driver.without_gpm(0)
    driver.gpus[0].busy_percent = 0
    agent = run_agent()
    eventually(lambda: series(agent, "inferometer_gpu_up"))
    assert list(series(agent, "inferometer_gpu_kernel_busy_ratio").values()) == [0.0]
    assert list(series(agent, "inferometer_gpu_sm_activity_ratio").values()) == [0.0]
    assert series(agent, "inferometer_gpu_tensor_activity_ratio") == {}


def test_a_lost_gpu_is_down_with_its_identity_and_back_by_evidence(run_agent, make_driver, eventually):
    driver = make_driver(gpus=2)
    uuid = driver.gpus[0].uuid.decode()
    agent = run_agent()
    eventually(lambda: value_of(agent, "inferometer_gpu_up", uuid) == 1)
    driver.lose(0)
    eventually(lambda: value_of(agent, "inferometer_gpu_up", uuid) == 0)
    assert value_of(agent, "inferometer_gpu_power_watts", uuid) is None
    assert list(series(agent, "inferometer_gpu_power_watts").values()) == [310.0]
    driver.restore(0)
    eventually(lambda: value_of(agent, "inferometer_gpu_up", uuid) == 1)


def test_a_wedged_gpu_stops_nobody_else_and_the_page_answers(run_agent, make_driver, web, eventually):
    driver = make_driver(gpus=3)
    web.answer = VLLM
    agent = run_agent(engines=(EngineTarget(url=web.url + "/metrics"),))
    eventually(
        lambda: len(series(agent, "inferometer_gpu_up")) == 3 and series(agent, "inferometer_engine_up")
    )
    name = f"gpu:{driver.gpus[0].uuid.decode()}"
    driver.wedge(0, "nvmlDeviceGetUtilizationRates")
    eventually(lambda: value_of(agent, "inferometer_agent_source_unresponsive", name) == 1)

    before = {watcher.source.name: watcher.reads for watcher in agent.watchers}
    slowest = 0.0
    for _ in range(20):
        begun = time.monotonic()
        page(agent)
        slowest = max(slowest, time.monotonic() - begun)
    eventually(
        lambda: all(w.reads - before[w.source.name] >= 5 for w in agent.watchers if w.source.name != name)
    )

    assert slowest < 0.5
    assert value_of(agent, "inferometer_agent_reads_abandoned_total", name) == 1
    eventually(lambda: len(series(agent, "inferometer_gpu_up")) == 2)  # a stale value is never shown
    assert all(watcher.age_seconds < 0.3 for watcher in agent.watchers if watcher.source.name != name)
    driver.release()
    eventually(lambda: len(series(agent, "inferometer_gpu_up")) == 3)
    assert value_of(agent, "inferometer_agent_source_unresponsive", name) == 0


def test_the_agent_stops_while_a_driver_call_hangs(run_agent, make_driver, eventually):
    driver = make_driver()
    agent = run_agent()
    (gpu,) = eventually(lambda: [each for each in agent.watchers if each.source.name.startswith("gpu:")])
    driver.wedge(0, "nvmlDeviceGetUtilizationRates")
    eventually(lambda: gpu.unresponsive)
    begun = time.monotonic()
    agent.stop()
    assert time.monotonic() - begun < 5


def test_a_driver_that_comes_later_is_found(run_agent, make_driver, fake_nvml, eventually):
    driver = make_driver()
    driver.fail(None, "nvmlInitWithFlags", fake_nvml.DRIVER_NOT_LOADED)
    agent = run_agent()
    eventually(lambda: value_of(agent, "inferometer_agent_search_failing", "gpus") == 1)
    driver.fail(None, "nvmlInitWithFlags", 0)
    eventually(lambda: series(agent, "inferometer_gpu_up"))


class Simulated:
    """A GPU that is none: what the simulator passes in."""

    name = "simulated"

    def read(self, now_us):
        sample = GpuSample(at_us=now_us, gpu_uuid="GPU-sim", host="node-1", kernel_busy_ratio=0.5)
        health = Health(source=self.name, at_us=now_us, took_us=1, ok=True)
        return Reading(records=(sample,), health=health)

    def close(self):
        pass


def shipped(web):
    """Rows by table of everything the service got."""
    rows = {}
    for path, _, body in list(web.asked):
        if path == "/api/v1/batches":
            for part in split(body)[1]:
                rows[part.table] = rows.get(part.table, 0) + part.rows
    return rows


def test_what_is_measured_and_handed_in_reaches_the_service(run_agent, web, tmp_path, eventually):
    agent = run_agent(
        sources=[Simulated()],
        gpus=False,
        server=web.url,
        token="t",
        engines=(EngineTarget(url="http://127.0.0.1:1/metrics", gpus=("GPU-sim",)),),
    )
    sender = RecordSender(agent.settings.records_socket)
    for number in range(50):
        sender.send(
            RequestRecord(
                request_id=str(number), model="m", status=Status.OK, started_at_us=1, ended_at_us=2, e2e_us=1
            )
        )
    eventually(lambda: shipped(web).get("requests") == 50)
    eventually(lambda: shipped(web).get("gpu_samples", 0) > 3)
    eventually(lambda: shipped(web).get("placements") == 1)
    assert shipped(web)["events"] >= 1 and shipped(web)["engine_samples"] >= 1
    eventually(lambda: series(agent, "inferometer_agent_spool_batches")[""] <= 1)
    assert series(agent, "inferometer_agent_records_received_total") == {"": 50.0}
    assert series(agent, "inferometer_agent_ship_up") == {"": 1.0}
    sender.close()


def test_a_datagram_that_is_no_record_is_counted(run_agent, eventually):
    agent = run_agent(gpus=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"hello", str(agent.settings.records_socket))
    eventually(lambda: value_of(agent, "inferometer_agent_datagrams_refused_total", "not_json") == 1)


def test_without_a_service_nothing_is_spooled(run_agent, eventually):
    agent = run_agent(sources=[Simulated()], gpus=False)
    eventually(lambda: series(agent, "inferometer_gpu_up"))
    assert not (agent.settings.data_dir / "spool.db").exists()
    assert len(agent.buffer) == 0


def test_the_page_serves_what_it_says_and_nothing_else(run_agent):
    agent = run_agent(gpus=False)
    root = agent.exporter.url.removesuffix("/metrics")
    assert urllib.request.urlopen(f"{root}/health", timeout=5).read() == b"ok\n"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{root}/etc/passwd", timeout=5)


def test_idle_callers_do_not_block_the_page(run_agent):
    agent = run_agent(gpus=False)
    address = agent.exporter.url.removeprefix("http://").removesuffix("/metrics").split(":")
    idle = [socket.create_connection((address[0], int(address[1]))) for _ in range(4)]
    begun = time.monotonic()
    assert "inferometer_agent_gpus_up" in page(agent)
    assert time.monotonic() - begun < 1
    for connection in idle:
        connection.close()


def test_too_many_callers_are_turned_away(run_agent, eventually):
    agent = run_agent(gpus=False)
    address = agent.exporter.url.removeprefix("http://").removesuffix("/metrics").split(":")
    idle = [socket.create_connection((address[0], int(address[1]))) for _ in range(9)]
    idle[8].settimeout(5)
    assert b"503" in idle[8].recv(1000)
    for connection in idle:
        connection.close()
    eventually(lambda: _answers(agent))


def _answers(agent):
    try:
        return page(agent)
    except urllib.error.HTTPError:
        return ""


def test_counters_that_lie_are_named_on_the_page(run_agent, make_driver, eventually):
    driver = make_driver()
    uuid = driver.gpus[0].uuid.decode()
    driver.gpus[0].busy_percent, driver.gpus[0].power_mw = 100, 600_000
    driver.field(0, 185).value.whole, driver.field(0, 83).result = 600_000, 3
    driver.fail(0, "nvmlDeviceGetTotalEnergyConsumption", 3)  # then the power shown is what is known
    for number in (2, 5, 10):
        driver.metric(0, number).value = 0.0
    agent = run_agent()
    eventually(lambda: value_of(agent, "inferometer_gpu_activity_withdrawn", f'{uuid}",source="gpm"'))
    assert value_of(agent, "inferometer_gpu_activity_source", 'source="clock_weighted"') == 1
    driver.metric(0, 2).value = 61.0
    eventually(lambda: series(agent, "inferometer_gpu_activity_withdrawn") == {})


def test_mig_instances_are_on_the_page_and_no_gpus_of_the_inventory(run_agent, make_driver, eventually):
    make_driver(gpus=2).partition(1, "1g.10gb", "2g.20gb")
    agent = run_agent()
    eventually(lambda: len(series(agent, "inferometer_gpu_up")) == 4)
    assert sum(series(agent, "inferometer_gpu_mig_instance").values()) == 2
    assert value_of(agent, "inferometer_gpu_mig_instance", 'mig_profile="2g.20gb"') == 1
    assert series(agent, "inferometer_agent_gpus_up") == {"": 2.0}
    assert all(0 <= age < 1 for age in series(agent, "inferometer_gpu_driver_call_age_seconds").values())


@pytest.mark.parametrize("within_gpm", [False, True], ids=["every call", "inside GPM"])
def test_a_gpu_that_hung_is_read_again_without_a_restart(
    run_agent, make_driver, fake_nvml, eventually, within_gpm
):
    driver = make_driver(gpus=8)
    agent = run_agent()
    eventually(lambda: len(series(agent, "inferometer_gpu_up")) == 8)
    for function in ["nvmlGpmSampleGet"] if within_gpm else fake_nvml.FUNCTIONS:
        driver.wedge(3, function)
    name = f"gpu:{driver.gpus[3].uuid.decode()}"
    eventually(lambda: value_of(agent, "inferometer_agent_source_unresponsive", name) == 1)
    eventually(lambda: sum(series(agent, "inferometer_gpu_up").values()) == 7)
    driver.release()
    eventually(lambda: sum(series(agent, "inferometer_gpu_up").values()) == 8)
    assert value_of(agent, "inferometer_agent_source_unresponsive", name) == 0
