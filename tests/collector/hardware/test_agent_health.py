"""The whole agent: Xids by both routes, missing GPUs, on its page and after its restart."""

from __future__ import annotations

import urllib.request

import pytest

from collector.agent import Agent
from collector.settings import Settings, SettingsError, load

FAST = {"interval_seconds": 0.05, "deadline_seconds": 0.3, "seal_seconds": 0.1, "find_engines": False}


@pytest.fixture
def run_agent(tmp_path):
    """Start an agent over the same data directory each time."""
    agents = []

    def start(**given):
        log = tmp_path / "kern.log"
        log.touch()
        settings = Settings(
            **{
                **FAST,
                "host": "node-1",
                "data_dir": tmp_path / "agent",
                "listen": ("127.0.0.1", 0),
                "kernel_log": log,
                **given,
            }
        )
        agent = Agent(settings)
        agents.append(agent)
        agent.start()
        return agent

    yield start
    for agent in agents:
        agent.stop()


def series(agent, name):
    page = urllib.request.urlopen(agent.exporter.url, timeout=5).read().decode()
    lines = [line for line in page.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return {line.rpartition(" ")[0].removeprefix(name): float(line.rpartition(" ")[2]) for line in lines}


def read_sources(agent):
    return {watcher.source.name for watcher in agent.watchers if watcher.reads}


def test_an_xid_is_counted_and_stands_until_a_reset_is_seen(run_agent, make_driver, eventually, tmp_path):
    driver = make_driver()
    uuid = driver.gpus[0].uuid.decode()
    agent = run_agent()
    eventually(lambda: {"xid:driver", "xid:kernel_log"} <= read_sources(agent))
    eventually(lambda: series(agent, "inferometer_gpu_up"))
    driver.happen(0, 64)
    stands = eventually(lambda: series(agent, "inferometer_gpu_xid_stands"))
    assert stands == {f'{{code="64",gpu_uuid="{uuid}",verdict="fatal"}}': 1.0}
    with (tmp_path / "kern.log").open("a") as log:
        log.write("kernel: NVRM: Xid (PCI:0000:01:00): 13, pid=5, name=python3, Graphics Exception\n")
    eventually(lambda: len(series(agent, "inferometer_gpu_xid_errors_total")) == 2)
    agent.stop()

    again = run_agent()
    eventually(lambda: series(again, "inferometer_gpu_up"))
    assert series(again, "inferometer_gpu_xid_stands") == stands
    assert sorted(series(again, "inferometer_gpu_xid_errors_total").values()) == [1.0, 1.0]
    driver.reset_counters(0)
    driver.gpus[0].energy_mj = 0
    assert eventually(lambda: series(again, "inferometer_gpu_xid_stands") == {})


def test_a_wedged_driver_does_not_keep_the_kernel_log_from_being_read(
    run_agent, make_driver, eventually, tmp_path
):
    driver = make_driver()
    agent = run_agent()
    eventually(lambda: {"xid:driver", "xid:kernel_log"} <= read_sources(agent))
    eventually(lambda: series(agent, "inferometer_gpu_up"))
    driver.wedge(None, "nvmlEventSetWait_v2")
    eventually(lambda: driver.knob(None, "nvmlEventSetWait_v2").calls > 1)
    with (tmp_path / "kern.log").open("a") as log:
        log.write("NVRM: GPU 0000:01:00.0: GPU has fallen off the bus.\n")
    assert eventually(lambda: series(agent, "inferometer_gpu_xid_stands"))


def test_a_missing_gpu_is_down_on_the_page(run_agent, make_driver, eventually, monkeypatch):
    monkeypatch.setattr("collector.hardware.inventory.GRACE_SECONDS", 0.0)
    driver = make_driver(gpus=2)
    driver.gpus[1].absent = 1
    uuids = tuple(driver.gpus[index].uuid.decode() for index in range(2))
    agent = run_agent(expected_gpus=uuids)
    eventually(lambda: sorted(series(agent, "inferometer_gpu_up").values()) == [0.0, 1.0])
    assert series(agent, "inferometer_agent_gpus_expected") == {"": 2.0}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"expected_gpus": "8"}, 8),
        ({"expected_gpus": 8}, 8),
        ({"expected_gpus": "GPU-a, GPU-b"}, ("GPU-a", "GPU-b")),
        ({"expected_gpus": ["GPU-a"]}, ("GPU-a",)),
        ({"xid_policy": "azure"}, "azure"),
        ({"kernel_log": "off"}, None),
    ],
)
def test_settings(given, kept):
    (name,) = given
    assert getattr(load(None, {}, given), name) == kept


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"expected_gpus": -1}, "0 to 1024"),
        ({"expected_gpus": "many"}, "a number of GPUs, or their UUIDs"),
        ({"xid_policy": "strict"}, "nvidia, k8s, meta, azure"),
    ],
)
def test_settings_that_cannot_be(given, told):
    with pytest.raises(SettingsError, match=told):
        load(None, {}, given)
