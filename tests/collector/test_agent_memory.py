"""The whole agent: memory by part, MFU and MBU, and the placements they rest on."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request

import pytest

from collector.agent import Agent
from collector.efficiency.ratios import ModelShape
from collector.settings import EngineTarget, Settings, SettingsError, load

GIB = 1 << 30
FAST = {"interval_seconds": 0.05, "deadline_seconds": 0.5, "seal_seconds": 0.1, "find_engines": False}
SHAPE = ModelShape(parameters=8_000_000_000, active_parameters=8_000_000_000, kv_bytes_per_token=131_072)


@pytest.fixture
def run_agent(tmp_path):
    agents = []

    def start(**given):
        settings = Settings(
            **{
                **FAST,
                "host": "n",
                "data_dir": tmp_path / "agent",
                "listen": ("127.0.0.1", 0),
                "kernel_log": None,
                **given,
            }
        )
        agents.append(Agent(settings))
        agents[-1].start()
        return agents[-1]

    yield start
    for agent in agents:
        agent.stop()


def series(agent, name):
    page = urllib.request.urlopen(agent.exporter.url, timeout=5).read().decode()
    lines = [line for line in page.splitlines() if line.startswith(f"{name}{{")]
    return {line.rpartition(" ")[0].removeprefix(name): float(line.rpartition(" ")[2]) for line in lines}


def serve(web, text):
    """A vLLM page whose counters grow with time: 1,000 tokens a second."""
    begun = time.monotonic()

    def answer(handler, body):
        tokens = int((time.monotonic() - begun) * 1_000)
        handler.reply(
            200,
            (
                text
                + f'vllm:prompt_tokens_total{{engine="0",model_name="m"}} 0\nvllm:generation_tokens_total{{engine="0",model_name="m"}} {tokens}\n'
            ).encode(),
        )

    web.answer = answer
    return web.url + "/metrics"


PAGE = (
    'vllm:num_requests_running{engine="0",model_name="m"} 10\n'
    'vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.5\n'
    'vllm:cache_config_info{engine="0",block_size="16",num_gpu_blocks="8192"} 1\n'
)


def test_memory_and_efficiency_of_a_replica_whose_gpu_is_known(
    run_agent, make_driver, web, eventually, tmp_path
):
    driver = make_driver()
    log = tmp_path / "vllm.log"
    log.write_text(
        "INFO Model loading took 15.0 GiB and 2 seconds\nINFO Available KV cache memory: 16.0 GiB\n"
        "INFO Graph capturing finished in 8 secs, took 0.5 GiB\n"
    )
    gpu = driver.gpus[0].uuid.decode()
    target = EngineTarget(url=serve(web, PAGE), gpus=(gpu,), log=log)
    agent = run_agent(engines=(target,), models={"m": SHAPE})
    replica = str(target.replica("n", 0))

    def parts():
        found = {
            label.split('"')[1]: value / GIB
            for label, value in series(agent, "inferometer_engine_memory_bytes").items()
        }
        return found if len(found) == 6 else None

    assert eventually(parts) == {
        "weights": 15,
        "kv_used": 8,
        "kv_free": 8,
        "other": 29,
        "reserved": 1,
        "free": 19,
    }
    assert series(agent, "inferometer_engine_start_up_bytes") == {
        f'{{part="graphs",replica="{replica}"}}': GIB / 2
    }
    mfu = eventually(lambda: series(agent, "inferometer_engine_mfu_ratio"))
    assert list(mfu) == [f'{{basis="parameters",replica="{replica}"}}']
    moved = 100 * (16e9 + 0.5 * 8_192 * 16 * 131_072)
    expected = {"mfu": 2 * 8e9 * 1_000 / 989.4e12, "mbu": moved / 3.35e12}
    for name, share in expected.items():  # the longer the window, the less a tick matters
        near = pytest.approx(share, rel=0.1)
        assert eventually(
            lambda name=name, near=near: (
                list(series(agent, f"inferometer_engine_{name}_ratio").values()) == [near]
            )
        )


def test_a_gpus_placement_and_the_pools_blocks_are_told(run_agent, make_driver, web, eventually):
    driver = make_driver(gpus=2)
    uuids = [driver.gpus[index].uuid.decode() for index in range(2)]
    target = EngineTarget(url=serve(web, PAGE), gpus=(uuids[0],))
    replica = str(target.replica("n", 0))
    agent = run_agent(engines=(target,))
    eventually(lambda: len(series(agent, "inferometer_gpu_placement")) == 2)
    assert series(agent, "inferometer_gpu_placement") == {
        f'{{gpu_uuid="{uuids[0]}",replica="{replica}",source="configuration"}}': 1.0,
        f'{{gpu_uuid="{uuids[1]}",replica="__unmapped__",source="none"}}': 0.0,
    }
    blocks = eventually(lambda: series(agent, "inferometer_engine_kv_pool_blocks"))
    assert blocks == {
        f'{{replica="{replica}",state="used"}}': 4096.0,
        f'{{replica="{replica}",state="free"}}': 4096.0,
    }


def test_without_a_placement_nothing_is_said_of_the_gpu(run_agent, make_driver, web, eventually):
    make_driver()
    agent = run_agent(engines=(EngineTarget(url=serve(web, PAGE)),), models={"m": SHAPE})
    eventually(lambda: series(agent, "inferometer_engine_memory_bytes"))
    parts = {label.split('"')[1] for label in series(agent, "inferometer_engine_memory_bytes")}
    assert parts == {"weights", "kv_used", "kv_free"}
    assert series(agent, "inferometer_engine_mfu_ratio") == {}


def test_settings_of_models_and_logs(tmp_path):
    given = {
        "engines": [{"url": "http://127.0.0.1:8000", "log": str(tmp_path / "x.log")}],
        "models": {
            "m": {"parameters": 8e9},
            "moe": {"parameters": 80e9, "active_parameters": 8e9, "dtype": "fp8", "weight_bytes": 1},
        },
    }
    settings = load(None, {}, given)
    assert settings.engines[0].log == tmp_path / "x.log"
    assert settings.models["m"].active_parameters == 8_000_000_000
    assert settings.models["moe"].weights_bytes == 80_000_000_000


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ("llama", "tables of at most 256 models"),
        ({"m": {"size": 3}}, "model m: a table with parameters"),
        ({"m": {"parameters": 8e9, "dtype": "fp3"}}, "must be one of fp16"),
        ({"m": {"parameters": 0}}, "1 to"),
    ],
)
def test_models_that_cannot_be(models, told):
    with pytest.raises(SettingsError, match=told):
        load(None, {}, {"models": models})


def test_a_log_without_its_engine_is_refused():
    command = [sys.executable, "-m", "inferometer", "agent", "--engine-log", "/x.log"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2 and "1 given for 0 --engine" in done.stderr
