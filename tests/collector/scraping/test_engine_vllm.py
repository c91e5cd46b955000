"""vLLM's page, release by release, read into one vocabulary."""

from __future__ import annotations

import pytest

from collector.engines import engines, recognise
from collector.engines.vllm import ENGINE
from collector.scraping.engine_mapping import read_ranks
from collector.scraping.exposition import parse
from telemetry.samples import ReplicaState


def ranks_of(body):
    return read_ranks(ENGINE, parse(body, ENGINE.families()))


def columns_of(body):
    (reading,) = ranks_of(body)
    return reading.columns


def test_the_folder_defines_vllm():
    assert ENGINE in engines()


@pytest.mark.shared
def test_a_v0_page_fills_what_v0_tells(engine_page):
    columns = columns_of(engine_page("vllm-0.6.6-v0-codedriven.prom"))
    assert columns["requests_running"] == 39
    assert columns["requests_waiting"] == 5 + 1  # one more is swapped out to the host
    assert columns["kv_usage_ratio"] == pytest.approx(0.98931, abs=1e-5)
    assert (columns["prompt_tokens_total"], columns["generation_tokens_total"]) == (806_996, 60_247)
    assert (columns["preemptions_total"], columns["finished_total"]) == (9, 400)
    assert (columns["ttft_count_total"], columns["ttft_us_total"]) == (400, 116_984_975)
    assert (columns["itl_count_total"], columns["itl_us_total"]) == (60_247, 1_806_624_328)
    assert columns["queue_us_total"] == 18_841_898
    assert columns["epoch_us"] == 1_795_220_606_800_000


@pytest.mark.shared
def test_v0s_switched_off_hit_rate_is_no_measurement(engine_page):
    columns = columns_of(engine_page("vllm-0.6.6-v0-codedriven.prom"))
    assert "prefix_hits_total" not in columns and "prefix_queries_total" not in columns


@pytest.mark.shared
def test_old_and_new_names_side_by_side_count_once(engine_page):
    columns = columns_of(engine_page("vllm-0.10.2-v1-codedriven.prom"))
    assert columns["itl_count_total"] == 118_798
    assert columns["prefix_queries_total"] == 649_427
    assert columns["kv_usage_ratio"] == 0.995


@pytest.mark.shared
def test_hidden_old_names_shown_again_count_once(engine_page):
    columns = columns_of(engine_page("vllm-0.11.0-v1-hidden-codedriven.prom"))
    assert columns["itl_count_total"] == 120_052


@pytest.mark.shared
@pytest.mark.parametrize(
    "release", ["0.8.5-v1", "0.10.2-v1", "0.18.0-v1-spec-lora", "0.25.0-v1", "0.33.0-v1"]
)
def test_every_release_fills_what_it_is_judged_by(engine_page, release):
    columns = columns_of(engine_page(f"vllm-{release}-codedriven.prom"))
    assert [column for column in ENGINE.expected if column not in columns] == []
    assert (columns["kv_blocks"], columns["kv_block_tokens"]) == (27_450, 16)
    assert columns["prefix_queries_total"] > columns["prefix_hits_total"] > 0


@pytest.mark.shared
def test_a_v1_page_of_today_fills_its_columns(engine_page):
    columns = columns_of(engine_page("vllm-0.33.0-v1-codedriven.prom"))
    assert (columns["requests_running"], columns["requests_waiting"]) == (25, 5)
    assert (columns["requests_waiting_capacity"], columns["requests_waiting_deferred"]) == (5, 0)
    assert (columns["finished_total"], columns["aborted_total"], columns["failed_total"]) == (540, 60, 0)
    assert columns["rejected_total"] == 0
    assert columns["queue_us_total"] == 31_855_124
    assert columns["prefill_us_total"] + columns["decode_us_total"] == 144_397_179 + 5_614_224_000


@pytest.mark.shared
def test_data_parallel_ranks_are_replicas(engine_page):
    first, second = ranks_of(engine_page("vllm-0.33.0-v1-dp2-spec-codedriven.prom"))
    assert (first.rank, second.rank) == (0, 1)
    assert (first.columns["requests_running"], second.columns["requests_running"]) == (51, 21)
    assert (first.columns["requests_waiting_capacity"], second.columns["requests_waiting_capacity"]) == (
        11,
        4,
    )
    assert first.columns["draft_tokens_total"] == 270_000
    assert second.columns["accepted_draft_tokens_total"] == 125_782
    assert first.model == second.model == "Qwen/Qwen3-8B"
    assert first.columns["epoch_us"] == second.columns["epoch_us"]


@pytest.mark.shared
def test_a_series_without_a_rank_counts_once(engine_page):
    body = engine_page("vllm-0.33.0-v1-dp2-spec-codedriven.prom") + (
        b'vllm:admission_rejections_total{model_name="m",reason="max_num_queued_reqs"} 7\n'
    )
    first, second = ranks_of(body)
    assert first.columns["rejected_total"] == 7
    assert second.columns.get("rejected_total") is None


@pytest.mark.shared
@pytest.mark.parametrize("name", ["vllm-2024-06-v0-datadog-hybrid.prom", "vllm-2024-08-v0-kubeai.prom"])
def test_pages_from_the_field_are_read(engine_page, name):
    page = parse(engine_page(name), ENGINE.families())
    assert page.faults == []
    assert read_ranks(ENGINE, page)[0].columns["prompt_tokens_total"] > 0


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["sglang-0.5.5-codedriven.prom", "tgi-datadog-head.prom", "llamacpp-0.5.0-dev-loaded.prom"]
)
def test_another_engines_page_is_not_taken_for_vllm(engine_page, name):
    assert recognise(engine_page(name)) is not ENGINE


def page(*lines):
    return "\n".join(lines).encode() + b"\n"


def test_a_sleeping_engine_is_paused():
    asleep = page(
        'vllm:engine_sleep_state{engine="0",sleep_state="awake"} 0',
        'vllm:engine_sleep_state{engine="0",sleep_state="discard_all"} 1',
    )
    assert ranks_of(asleep)[0].state is ReplicaState.PAUSED
    assert ranks_of(page("vllm:num_requests_running 0"))[0].state is ReplicaState.READY


def test_zero_is_measured_and_absent_is_not():
    columns = columns_of(page('vllm:num_requests_running{engine="0"} 0'))
    assert columns == {"requests_running": 0}


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf", "1e300", "1.5"])
def test_a_kv_usage_that_cannot_be_is_left_out(value):
    assert columns_of(page(f"vllm:kv_cache_usage_perc {value}")) == {}


@pytest.mark.parametrize("value", ["1e300", "-5", "NaN", "9223372036854775808"])
def test_a_count_that_cannot_be_is_left_out(value):
    assert (
        columns_of(page(f"vllm:prompt_tokens_total {value}", f"vllm:time_to_first_token_seconds_sum {value}"))
        == {}
    )


def test_a_model_served_under_two_names_is_one_replica():
    columns = columns_of(
        page(
            'vllm:prompt_tokens_total{engine="0",model_name="a"} 3',
            'vllm:prompt_tokens_total{engine="0",model_name="b"} 4',
        )
    )
    assert columns["prompt_tokens_total"] == 7
