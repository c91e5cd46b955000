"""What an engine's page does not tell of its memory: from its log, from the settings, from neither."""

from __future__ import annotations

import pytest

from collector.efficiency.ratios import ModelShape
from collector.scraping.engine_memory import EngineMemory
from collector.scraping.start_up import GIB

SHAPE = ModelShape(parameters=8_000_000_000, active_parameters=8_000_000_000, kv_bytes_per_token=131_072)
LOG = (
    "(EngineCore_DP0 pid=2) INFO Model loading took 15.0 GiB and 2 seconds\n"
    "(EngineCore_DP0 pid=2) INFO Available KV cache memory: 48.0 GiB\n"
    "(EngineCore_DP0 pid=2) INFO GPU KV cache size: 393,216 tokens\n"
)
PAGE = {"kv_blocks": 24_576, "kv_block_tokens": 16}


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "vllm.log"
    path.write_text(LOG)
    return path


def test_the_log_says_what_weights_and_pool_take(log):
    memory = EngineMemory(log, {"m": SHAPE})
    assert memory.read() is None
    assert memory.columns(0, "m", PAGE) == {"weights_bytes": 15 * GIB, "kv_pool_bytes": 48 * GIB}


def test_a_log_that_grows_is_followed(log):
    log.write_text("")
    memory = EngineMemory(log, {})
    memory.read()
    before = memory.columns(0, "m", PAGE)
    log.write_text(LOG)
    memory.read()
    assert (before, memory.columns(0, "m", PAGE)["weights_bytes"]) == ({}, 15 * GIB)


def test_without_a_log_the_parameters_say_it():
    memory = EngineMemory(None, {"m": SHAPE})
    assert memory.columns(0, "m", PAGE) == {
        "weights_bytes": 16_000_000_000,
        "kv_pool_bytes": 393_216 * 131_072,
    }
    assert memory.columns(0, "another", PAGE) == {}


def test_blocks_follow_from_the_logs_tokens_where_the_page_tells_none(log):
    memory = EngineMemory(log, {})
    memory.read()
    assert memory.columns(0, "m", {"kv_block_tokens": 16})["kv_blocks"] == 24_576
    assert memory.columns(1, "m", {"kv_block_tokens": 16}) == {}


def test_a_log_that_cannot_be_read_is_told(tmp_path):
    assert "none.log: No such file" in EngineMemory(tmp_path / "none.log", {}).read()
