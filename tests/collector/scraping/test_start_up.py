"""Start-up logs as engines wrote them, of several releases and shapes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.scraping.start_up import GIB, StartUp, StartUpLog

VLLM_V0 = """
INFO 08-12 22:32:11 [worker.py:295] Memory profiling takes 1.73 seconds
INFO 08-12 22:32:11 [worker.py:295] model weights take 0.52GiB; non_torch_memory takes 0.08GiB; PyTorch activation peak memory takes 1.78GiB; the rest of the memory reserved for KV Cache is 34.81GiB.
INFO 08-12 22:32:11 [executor_base.py:113] # cuda blocks: 190100, # CPU blocks: 0
INFO 08-12 22:32:20 [model_runner.py:1671] Graph capturing finished in 9 secs, took 0.11 GiB
"""
VLLM_V1 = """
(EngineCore_DP0 pid=212) INFO 10-06 12:00:01 [core.py:77] Initializing a V1 LLM engine (v0.11.0) with config: model='m', tensor_parallel_size=1, pipeline_parallel_size=1, data_parallel_size=1
(EngineCore_DP0 pid=212) INFO 10-06 12:00:20 [gpu_model_runner.py:2340] Model loading took 14.9889 GiB and 2.3 seconds
(EngineCore_DP0 pid=212) INFO 10-06 12:00:30 [gpu_worker.py:298] Available KV cache memory: 48.77 GiB
(EngineCore_DP0 pid=212) INFO 10-06 12:00:31 [kv_cache_utils.py:1087] GPU KV cache size: 399,520 tokens
(EngineCore_DP0 pid=212) INFO 10-06 12:00:40 [gpu_model_runner.py:3480] Graph capturing finished in 8 secs, took 0.31 GiB
(APIServer pid=100) INFO 10-06 12:00:41 [api_server.py:1971] Starting vLLM API server 0 on http://0.0.0.0:8000
"""
VLLM_TP2 = """
INFO [core.py:77] Initializing a V1 LLM engine (v0.10.2) with config: tensor_parallel_size=2, pipeline_parallel_size=1
(Worker_TP0 pid=4633) INFO [gpu_model_runner.py:2340] Model loading took 65.5 GiB and 20 seconds
(Worker_TP1 pid=4634) INFO [gpu_model_runner.py:2340] Model loading took 65.5 GiB and 21 seconds
(Worker_TP0 pid=4633) INFO [worker.py:593] Available KV cache memory: 5.5 GiB
(Worker_TP1 pid=4634) INFO [worker.py:593] Available KV cache memory: 5.4 GiB
(EngineCore pid=4600) INFO GPU KV cache size: 33,552 tokens
"""
VLLM_DP2 = """
(EngineCore_DP0 pid=1) INFO Model loading took 15.0 GiB memory and 2 seconds
(EngineCore_DP1 pid=2) INFO Model loading took 16.0 GiB memory and 2 seconds
(EngineCore_DP1 pid=2) INFO GPU KV cache size: 1,000 tokens
"""
SGLANG = """
[2026-03-11 13:53:00] server_args=ServerArgs(model_path='m', tp_size=2, dp_size=1)
[2026-03-11 13:53:21 TP0] Load weight end. elapsed=23.18 s, type=Glm4MoeLiteForCausalLM, avail mem=32.02 GB, mem usage=28.79 GB.
[2026-03-11 13:53:21 TP1] Load weight end. elapsed=23.18 s, type=Glm4MoeLiteForCausalLM, avail mem=32.02 GB, mem usage=28.79 GB.
[2026-03-11 13:53:23 TP0] KV Cache is allocated. #tokens: 383872, KV size: 19.36 GB
[2026-03-11 13:53:23 TP1] KV Cache is allocated. #tokens: 383872, K size: 9.68 GB, V size: 9.68 GB
[2026-03-11 13:53:32 TP0] Capture cuda graph end. Time elapsed: 8.04 s. mem usage=0.80 GB. avail mem=10.30 GB.
"""


def told(*texts):
    log = StartUpLog()
    for text in texts:
        log.feed(text.splitlines())
    return log.told()


def gib(amount):
    return None if amount is None else pytest.approx(amount * GIB, abs=1)


@pytest.mark.parametrize(
    ("text", "weights", "pool", "activations", "graphs", "tokens", "blocks"),
    [
        (VLLM_V0, 0.52, 34.81, 1.78, 0.11, None, 190_100),
        (VLLM_V1, 14.9889, 48.77, None, 0.31, 399_520, None),
        (VLLM_TP2, 131.0, 10.9, None, None, 33_552, None),
        (SGLANG, 57.58, 38.72, None, 0.80, 383_872, None),
        ("INFO Loading model weights took 14.9888 GB", 14.9888, None, None, None, None, None),
        (
            "[gpu_id=0] Load weight end. type=Qwen2ForCausalLM, avail mem=15.61 GB",
            None,
            None,
            None,
            None,
            None,
            None,
        ),
    ],
    ids=["vllm-v0", "vllm-v1", "vllm-tp2", "sglang-tp2", "vllm-0.5", "sglang-0.2"],
)
def test_a_log_is_read(text, weights, pool, activations, graphs, tokens, blocks):
    start = told(text).get(0, StartUp())
    assert start.weights_bytes == gib(weights)
    assert start.kv_pool_bytes == gib(pool)
    assert (start.activations_bytes, start.graphs_bytes) == (gib(activations), gib(graphs))
    assert (start.kv_tokens, start.kv_blocks) == (tokens, blocks)


def test_ranks_are_replicas_of_their_own():
    ranks = told(VLLM_DP2)
    assert {rank: start.weights_bytes for rank, start in ranks.items()} == {0: gib(15), 1: gib(16)}
    assert (ranks[0].kv_tokens, ranks[1].kv_tokens) == (None, 1_000)


def test_where_one_worker_speaks_for_all_the_others_are_as_large():
    lines = [line for line in VLLM_TP2.splitlines() if "TP1" not in line]
    assert told("\n".join(lines))[0].weights_bytes == gib(131)


def test_a_later_start_replaces_an_earlier_one():
    assert told(VLLM_TP2, VLLM_V1)[0].weights_bytes == gib(14.9889)
    assert told(SGLANG, SGLANG)[0].weights_bytes == gib(57.58)


def test_a_draft_model_adds_to_its_worker():
    draft = "[2026-03-11 13:53:40 TP0] Load weight end. type=Draft, avail mem=9 GB, mem usage=1.00 GB."
    assert told(SGLANG, draft)[0].weights_bytes == gib(58.58)


@given(st.lists(st.text(alphabet="0123456789.,GiBKVtook=memusage #tokens:", max_size=60), max_size=5))
def test_no_line_breaks_the_reader_or_tells_a_zero(tails):
    heads = (
        "Model loading took ",
        "Available KV cache memory: ",
        "GPU KV cache size: ",
        "KV Cache is allocated. #tokens: ",
        "# GPU blocks: ",
    )
    for start in told("\n".join(head + tail for head in heads for tail in tails)).values():
        assert start.weights_bytes is None or start.weights_bytes >= 0


def test_a_size_that_is_none_is_not_zero():
    assert told("Model loading took . GiB memory\nAvailable KV cache memory: -1.5 GiB") == {}


def test_other_lines_say_nothing():
    noise = "INFO: 127.0.0.1 - POST /v1/chat/completions 200\nKV = gone\ntook 3 GiB of time\n" * 1_000
    assert told(noise) == {}
