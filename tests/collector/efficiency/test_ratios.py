"""MFU and MBU worked by hand: from an engine's counters, from tokens, and where they cannot be known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.efficiency.peaks import peak_of
from collector.efficiency.ratios import Basis, Board, ModelShape, efficiency
from telemetry.samples import EngineSample

H100 = Board(peak=peak_of("NVIDIA H100 80GB HBM3"), gpus=1)
LLAMA = ModelShape(parameters=8_000_000_000, active_parameters=8_000_000_000, kv_bytes_per_token=131_072)
SECOND = 1_000_000
FIRST = EngineSample(at_us=0, replica="n:8000", host="n", engine="vllm")


def window(seconds, **grown):
    """Two samples so many seconds apart; gauges stay, counters (`_total`) begin at 100."""
    begun = {name: 100 if name.endswith("_total") else value for name, value in grown.items()}
    ended = {name: 100 + value if name.endswith("_total") else value for name, value in grown.items()}
    return [replace(FIRST, **begun), replace(FIRST, at_us=seconds * SECOND, **ended)]


def test_work_that_the_engine_counts_is_for_each_gpu():
    samples = window(
        10, flops_total=2_968_200_000_000_000, read_bytes_total=10**13, write_bytes_total=5 * 10**12
    )
    found = efficiency(samples, replace(H100, gpus=8), None)
    assert found.basis is Basis.ENGINE
    assert found.mfu_ratio == pytest.approx(0.3)
    assert found.mbu_ratio == pytest.approx(1.5e12 / 3.35e12)


def test_from_tokens_it_is_two_flops_a_parameter_and_one_read_of_the_weights_a_step():
    # 32 running, 3,200 tokens/s: 100 steps/s; 1,600 prompt tokens/s of which 600 were cached.
    samples = window(
        10,
        prompt_tokens_total=16_000,
        prefix_hits_total=6_000,
        generation_tokens_total=32_000,
        requests_running=32,
        kv_usage_ratio=0.5,
        kv_blocks=4_000,
        kv_block_tokens=16,
    )
    found = efficiency(samples, H100, LLAMA)
    assert found.basis is Basis.PARAMETERS
    assert found.mfu_ratio == pytest.approx(2 * 8e9 * 4_200 / 989.4e12)
    assert found.mbu_ratio == pytest.approx(100 * (16e9 + 32_000 * 131_072) / 3.35e12)


def test_two_gpus_share_the_work():
    samples = window(10, prompt_tokens_total=0, generation_tokens_total=10_000, requests_running=10)
    one, two = efficiency(samples, H100, LLAMA), efficiency(samples, replace(H100, gpus=2), LLAMA)
    assert two.mfu_ratio == pytest.approx(one.mfu_ratio / 2)
    assert two.mbu_ratio == pytest.approx(one.mbu_ratio / 2)


def test_accepted_drafts_cost_no_step_of_their_own():
    plain = window(10, prompt_tokens_total=0, generation_tokens_total=10_000, requests_running=10)
    drafts = window(
        10,
        prompt_tokens_total=0,
        generation_tokens_total=10_000,
        accepted_draft_tokens_total=5_000,
        requests_running=10,
    )
    assert efficiency(drafts, H100, LLAMA).mbu_ratio == pytest.approx(
        efficiency(plain, H100, LLAMA).mbu_ratio / 2
    )


def test_of_a_mixture_of_experts_only_the_active_parameters_work():
    samples = window(10, prompt_tokens_total=0, generation_tokens_total=1_000, requests_running=1)
    moe = replace(LLAMA, parameters=80_000_000_000)
    assert efficiency(samples, H100, moe) == efficiency(samples, H100, LLAMA)


def test_idle_is_zero_and_not_absent():
    samples = window(10, prompt_tokens_total=0, generation_tokens_total=0, requests_running=0)
    found = efficiency(samples, H100, LLAMA)
    assert (found.mfu_ratio, found.mbu_ratio) == (0.0, 0.0)


def test_an_impossible_share_is_absent():
    samples = window(1, prompt_tokens_total=10**9, generation_tokens_total=100, requests_running=10)
    found = efficiency(samples, H100, LLAMA)
    assert found.mfu_ratio is None and found.mbu_ratio is not None


@pytest.mark.parametrize(
    ("samples", "board", "shape"),
    [
        ([], H100, LLAMA),
        ([FIRST], H100, LLAMA),
        (window(10, requests_running=3), H100, LLAMA),
        (window(10, generation_tokens_total=10, requests_running=3), H100, None),
    ],
)
def test_what_cannot_be_known_is_nothing(samples, board, shape):
    assert efficiency(samples, board, shape) is None


def test_a_format_the_gpu_lacks_leaves_bandwidth():
    board = Board(peak=peak_of("NVIDIA A100-SXM4-80GB"), gpus=1)
    samples = window(10, prompt_tokens_total=0, generation_tokens_total=1_000, requests_running=10)
    found = efficiency(samples, board, replace(LLAMA, dtype="fp8", weight_bytes=1.0))
    assert found.mfu_ratio is None and found.mbu_ratio > 0


@given(st.lists(st.tuples(st.integers(0, 10_000), st.booleans()), min_size=2, max_size=30))
def test_restarts_never_make_it_negative(steps):
    total, samples = 0, []
    for number, (tokens, restarted) in enumerate(steps):
        total = tokens if restarted else total + tokens
        samples.append(
            replace(
                FIRST,
                at_us=number * SECOND,
                generation_tokens_total=total,
                prompt_tokens_total=total,
                requests_running=1,
            )
        )
    found = efficiency(samples, H100, LLAMA)
    assert found.mfu_ratio is None or found.mfu_ratio >= 0
