"""Each engine's traps: what a name says, what it does not, and what must not count twice."""

from __future__ import annotations

import json

import pytest

from collector.engines import recognise
from collector.scraping.engine_mapping import read_ranks
from collector.scraping.engine_source import EngineSource
from collector.scraping.exposition import PageError
from collector.scraping.saved_page import normalise
from collector.settings import EngineTarget
from telemetry.identity import Vantage
from telemetry.samples import EngineSample


def page(*lines):
    return ("\n".join(lines) + "\n").encode()


def values(*lines):
    """Read a page of one replica; its values that are told."""
    (replica,) = normalise(page(*lines)).replicas
    return {word: value for word, value in replica.values.items() if value is not None}


# SGLang


def test_ranks_of_one_tensor_group_count_once():
    told = values(*(f'sglang:num_running_reqs{{tp_rank="{rank}",pp_rank="0"}} 7' for rank in range(4)))
    assert told == {"requests_running": 7}


def test_priorities_are_parts_of_the_total_beside_them():
    told = values(
        'sglang:num_running_reqs{priority=""} 7',
        'sglang:num_running_reqs{priority="1"} 4',
        'sglang:num_running_reqs{priority="2"} 3',
    )
    assert told == {"requests_running": 7}


def test_the_fullest_of_sglangs_pools_is_its_usage():
    told = values("sglang:token_usage 0.2", "sglang:swa_token_usage 0.9", "sglang:mamba_usage 0.1")
    assert told["kv_usage_ratio"] == 0.9


def test_requests_wait_for_capacity_or_for_something_else():
    told = values(
        "sglang:num_queue_reqs 5",
        "sglang:num_grammar_queue_reqs 2",
        "sglang:num_decode_transfer_queue_reqs 1",
    )
    assert told["requests_waiting"] == 8
    assert (told["requests_waiting_capacity"], told["requests_waiting_deferred"]) == (5, 3)


def test_requests_that_may_have_been_aborted_are_not_told_as_finished():
    assert values("sglang:num_requests_total 10") == {"finished_total": 10}
    told = values("sglang:num_requests_total 10", "sglang:num_aborted_requests_total 3")
    assert told == {"aborted_total": 3}


@pytest.mark.parametrize(
    "lines",
    [
        ("sglang:num_pages 10", "sglang:page_size 16", "sglang:max_total_num_tokens 160"),
        ('sglang:cache_config_info{num_pages="10",page_size="16"} 1',),
    ],
)
def test_sglangs_capacity_is_in_pages_where_it_tells_pages(lines):
    told = values(*lines)
    assert (told["kv_blocks"], told["kv_block_tokens"]) == (10, 16)


def test_a_data_parallel_server_tells_its_counters_apart_from_its_ranks():
    body = page(
        'sglang:num_running_reqs{dp_rank="0"} 1',
        'sglang:num_running_reqs{dp_rank="1"} 2',
        "sglang:prompt_tokens_total 9",
    )
    told = [(dict(each.labels), each.values) for each in normalise(body).replicas]
    assert [labels for labels, _ in told] == [{}, {"dp_rank": "0"}, {"dp_rank": "1"}]
    assert [one["prompt_tokens_total"] for _, one in told] == [9, None, None]
    live = read_ranks(recognise(body), recognise(body).page(body))
    assert [reading.columns.get("prompt_tokens_total") for reading in live] == [9, None]


# Triton


def test_tritons_steps_of_one_ensemble_count_a_request_once():
    told = values(*(f'nv_inference_request_success{{model="{name}"}} 5' for name in ("pre", "llm", "post")))
    assert told["finished_total"] == 5


def test_tritons_failures_by_reason():
    told = values(
        *(
            f'nv_inference_request_failure{{model="m",reason="{reason}"}} {count}'
            for reason, count in (("REJECTED", 1), ("CANCELED", 2), ("BACKEND", 4))
        )
    )
    assert (told["rejected_total"], told["aborted_total"], told["failed_total"]) == (1, 2, 4)


def test_tritons_fraction_is_believed_before_the_blocks():
    blocks = 'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="%s"} %s'
    known = [blocks % pair for pair in (("used", 1), ("max", 4))]
    assert values(*known)["kv_usage_ratio"] == 0.25
    assert values(*known, blocks % ("fraction", 0.4875))["kv_usage_ratio"] == 0.4875
    assert "kv_usage_ratio" not in values(blocks % ("used", 1), blocks % ("max", 0))


@pytest.mark.parametrize("server", ["nv_inference_request_success 1", "dynamo_component_uptime_seconds 3"])
def test_an_engine_inside_a_server_is_read_as_itself(server):
    told = normalise(page(server, "vllm:num_requests_running 3", "vllm:num_requests_waiting 1"))
    assert told.engine == "vllm"
    assert len(told.families.foreign) == 1


# TensorRT-LLM, llama.cpp, Dynamo, LiteLLM, TGI


@pytest.mark.parametrize("prefix", ["trtllm_", ""])
def test_trtllm_is_known_with_its_prefix_and_without(prefix):
    body = page(
        f'{prefix}e2e_request_latency_seconds_sum{{model_name="undefined"}} 2.5',
        f'{prefix}e2e_request_latency_seconds_count{{model_name="undefined"}} 4',
        f'{prefix}request_success_total{{finished_reason="stop"}} 3',
    )
    told = normalise(body)
    assert told.engine == "trtllm"
    assert told.replicas[0].values["e2e_us_total"] == 2_500_000
    assert told.replicas[0].values["finished_total"] == 3
    assert told.families.unknown == []


def test_a_callers_mistake_is_no_failure_of_the_server():
    told = values(
        *(f'trtllm_request_error_total{{http_code="{code}"}} 1' for code in (400, 404, 429, 500, 502, 503))
    )
    assert (told["failed_total"], told["rejected_total"]) == (2, 2)
    told = values(*(f'tgi_request_failure{{err="{err}"}} 1' for err in ("validation", "overloaded")))
    assert told == {"rejected_total": 1}


def test_llamacpps_cached_prompt_tokens_are_added():
    told = values("llamacpp:prompt_tokens_total 10", "llamacpp:prompt_tokens_cached_total 4")
    assert (told["prompt_tokens_total"], told["prefix_queries_total"], told["prefix_hits_total"]) == (
        14,
        14,
        4,
    )
    assert values("llamacpp:prompt_tokens_total 10") == {"prompt_tokens_total": 10}


def test_only_the_endpoint_that_generates_is_a_dynamo_workers_load():
    told = values(
        'dynamo_component_inflight_requests{dynamo_endpoint="generate"} 4',
        'dynamo_component_inflight_requests{dynamo_endpoint="clear_kv_blocks"} 9',
    )
    assert told == {"requests_running": 4}


def test_dynamos_new_names_are_read_before_the_old():
    told = values(
        "dynamo_frontend_active_requests 3",
        "dynamo_frontend_inflight_requests 5",
        'dynamo_frontend_stage_requests{stage="route"} 1',
        'dynamo_frontend_stage_requests{stage="dispatch"} 1',
        "dynamo_frontend_queued_requests 7",
    )
    assert (told["requests_running"], told["requests_waiting"]) == (3, 2)


@pytest.mark.parametrize(
    ("line", "vantage"),
    [
        ("litellm_in_flight_requests 1", Vantage.EDGE),
        ("dynamo_frontend_active_requests 1", Vantage.EDGE),
        ('dynamo_component_inflight_requests{dynamo_endpoint="generate"} 1', Vantage.ENGINE),
        ("vllm:num_requests_running 1", Vantage.ENGINE),
    ],
)
def test_a_routers_view_is_never_an_engines_own(web, line, vantage):
    web.answer = page(line)
    source = EngineSource(EngineTarget(url=web.url + "/metrics"), host="node-1", timeout_seconds=2)
    (sample,) = [each for each in source.read(1).records if isinstance(each, EngineSample)]
    assert (sample.vantage, sample.requests_running) == (vantage, 1)


def test_a_frontend_with_a_worker_in_its_process_has_no_family_nobody_knows():
    told = normalise(page("dynamo_frontend_active_requests 2", "dynamo_component_total_blocks 64"))
    assert (told.title, told.families.unknown) == ("Dynamo frontend", [])
    assert told.families.unused == ["dynamo_component_total_blocks"]


# Ray


def test_rays_spellings_of_vllms_names_say_the_same():
    today = values("ray_vllm_num_requests_running 2", "ray_vllm_prompt_tokens_total 9")
    before = values("ray_vllm:num_requests_running 2", "ray_vllm:prompt_tokens 9")
    assert today == before == {"requests_running": 2, "prompt_tokens_total": 9}


def test_a_restarted_ray_replica_is_another_one():
    def ranks(*replicas):
        body = page(*(f'ray_vllm_num_requests_running{{ReplicaId="{name}"}} 1' for name in replicas))
        return [reading.rank for reading in read_ranks(recognise(body), recognise(body).page(body))]

    first, second = ranks("7xk2", "q9ab")
    assert first != second
    assert ranks("q9ab") in ([first], [second])


# Ollama


def test_ollama_is_known_by_the_models_it_has_loaded(web):
    web.answer = json.dumps({"models": [{"name": "qwen3:8b", "size_vram": 6_000_000_000}]}).encode()
    source = EngineSource(EngineTarget(url=web.url + "/api/ps"), host="node-1", timeout_seconds=2)
    (sample,) = source.read(1).records
    assert (sample.engine, sample.model, sample.up, sample.requests_running) == (
        "ollama",
        "qwen3:8b",
        True,
        None,
    )


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"models": 3}', b'{"models": [{"name": 1}]}', b"{" * 9999])
def test_other_json_is_no_ollama(body):
    with pytest.raises(PageError):
        normalise(body)
