"""Every engine's page, recorded or written by hand, in one vocabulary: values, traps, what is not read."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import discovery
from collector.engine_mapping import MAX_REPLICAS, read_ranks
from collector.engine_source import EngineSource
from collector.engines import engines, recognise
from collector.exposition import PageError
from collector.saved_page import MAX_PAGE_BYTES, normalise, vocabulary
from collector.settings import EngineTarget
from telemetry.identity import Vantage
from telemetry.samples import EngineSample

GOLDEN = Path(__file__).parent / "golden"
PAGES = sorted(path.stem for path in GOLDEN.glob("*.json"))


@pytest.fixture(scope="module")
def golden_of():
    """The very function that wrote the golden files."""
    spec = importlib.util.spec_from_file_location("write_golden", GOLDEN / "write.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.golden


def page(*lines):
    return ("\n".join(lines) + "\n").encode()


def values(*lines):
    """Read a page of one replica; its values that are told."""
    (replica,) = normalise(page(*lines)).replicas
    return {word: value for word, value in replica.values.items() if value is not None}


@pytest.mark.shared
@pytest.mark.parametrize("name", PAGES)
def test_a_recorded_page_says_what_was_reviewed(engine_page, golden_of, name):
    told = golden_of(normalise(engine_page(f"{name}.prom")))
    assert told == json.loads((GOLDEN / f"{name}.json").read_text())


@pytest.mark.shared
@pytest.mark.parametrize("name", PAGES)
def test_no_family_of_a_recorded_page_goes_unreported(engine_page, name):
    body = engine_page(f"{name}.prom")
    families = normalise(body).families
    assert families.unknown == []
    told = (*families.read, *families.unused, *families.foreign)
    headers = [line.split()[2] for line in body.decode().splitlines() if line.startswith("# TYPE")]
    assert [name for name in headers if not any(name.startswith(family) for family in told)] == []


@pytest.mark.shared
def test_every_recorded_page_has_its_golden_numbers(engine_page):
    folder = Path(__file__).parents[3] / "shared" / "fixtures" / "engines"
    assert sorted(path.stem for path in folder.glob("*.prom")) == PAGES
    assert len(PAGES) == 27


def test_twelve_engines_are_known():
    names = {engine.name for engine in engines()}
    assert sorted(names) == [
        "dynamo",
        "litellm",
        "llamacpp",
        "lmdeploy",
        "nim",
        "ollama",
        "ray",
        "sglang",
        "tgi",
        "triton",
        "trtllm",
        "vllm",
    ]


def test_engines_without_a_recorded_page_say_so():
    assert {engine.name for engine in engines() if not engine.captured} == {"trtllm", "ray", "ollama"}


@pytest.mark.parametrize("engine", engines(), ids=lambda engine: engine.title)
def test_a_family_is_either_read_or_unused(engine):
    read = {name for signal in engine.signals for name in signal.series()}
    assert not read & engine.unused
    assert all(engine.owns(name) for name in engine.unused)
    assert set(engine.expected) <= {signal.column for signal in engine.signals}


def test_a_family_that_nobody_knows_is_told():
    assert normalise(page("sglang:num_running_reqs 1", "sglang:brand_new 2")).families.unknown == [
        "sglang:brand_new"
    ]


def test_a_missing_value_with_a_likely_new_name_is_told():
    (rename,) = normalise(page("sglang:num_running_requests 1", "sglang:token_usage 0.5")).renamed
    assert (rename.value, rename.found, rename.guess) == (
        "requests_running",
        "sglang:num_running_requests",
        True,
    )


def test_every_replica_has_every_word():
    (replica,) = normalise(page("tgi_queue_size 3")).replicas
    assert tuple(replica.values) == vocabulary()
    assert (replica.labels, replica.values["requests_waiting"]) == ({}, 3)


def test_an_engine_that_answers_at_two_paths_of_a_port_is_found_once(web, monkeypatch):
    port = int(web.url.rpartition(":")[2])
    web.answer = page("trtllm_num_requests_running 1")
    here = [replace(engine, ports=(port,)) for engine in engines()]
    monkeypatch.setattr(discovery, "engines", lambda: here)
    (target,) = discovery.local_engines()
    assert target.kind == "trtllm"


def test_the_ranks_of_a_page_are_bounded_and_each_is_told_once():
    body = page(
        *(f'vllm:num_requests_running{{engine="{rank}"}} 1' for rank in (*range(500), "00", "01", "002"))
    )
    ranks = [reading.rank for reading in read_ranks(recognise(body), recognise(body).page(body))]
    assert ranks == list(range(MAX_REPLICAS))


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


# Hostile pages


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"python_info 1\n", b"<html>", b"\0", b"request_latency 1\n"]
)
def test_a_page_of_no_known_engine_is_refused_in_words(body):
    with pytest.raises(PageError, match=r"known engine|not metrics"):
        normalise(body)


def test_a_page_without_end_is_refused():
    with pytest.raises(PageError, match="at most"):
        normalise(b"vllm:x 1\n" * (MAX_PAGE_BYTES // 9 + 1))


def test_a_page_of_names_without_end_is_refused():
    with pytest.raises(PageError, match="at most"):
        normalise(b"".join(b"vllm:x%d 1\n" % number for number in range(20_001)))


def test_a_line_that_names_no_series_costs_itself_only():
    told = normalise(page("tgi_queue_size 3", "...", "tgi_batch_current_size 1"))
    assert told.replicas[0].values["requests_waiting"] == 3
    assert "names no series" in told.faults[0]


_NOISE = st.sampled_from(
    [engine.signals[0].names[0].encode() for engine in engines() if engine.signals]
    + [
        b"{",
        b"}",
        b'"',
        b"=",
        b" ",
        b"\n",
        b"3",
        b"NaN",
        b"-1",
        b"1e400",
        b"dp_rank",
        b"\xff",
        b"# TYPE ",
        b"...",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_NOISE, max_size=40).map(b"".join))
def test_no_page_is_answered_with_anything_but_values_or_words(noise):
    try:
        told = normalise(noise)
    except PageError:
        return
    numbers = [value for each in told.replicas for value in each.values.values() if value is not None]
    assert all(0 <= value < 2**63 for value in numbers)
