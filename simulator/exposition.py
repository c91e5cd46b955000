"""An engine's counters as vLLM 0.33 prints them on `/metrics` (v1 names and labels).

Only what the simulated engine really counts is there; the first line says what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from simulator.counters import Histogram
from simulator.engine import Engine
from telemetry.units import MICROS_PER_SECOND

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = dict[str, str]
Point = tuple[Labels, float]


def exposition(engine: Engine) -> str:
    """Return the page of an engine that is up, as Prometheus text."""
    head = "# Simulated by Inferometer: no GPU and no vLLM is behind these numbers.\n"
    return head + "".join(f"{line}\n" for line in _lines(engine))


def _lines(engine: Engine) -> Iterator[str]:
    yield "# HELP process_start_time_seconds Start of the engine since unix epoch in seconds."
    yield "# TYPE process_start_time_seconds gauge"
    yield f"process_start_time_seconds {engine.epoch_us / MICROS_PER_SECOND!r}"
    base = {"engine": "0", "model_name": engine.spec.model}
    for name, kind, text, points in _simple(engine):
        yield from _family(name, kind, text, ((base | labels, value) for labels, value in points))
    for name, text, histogram in _histograms(engine):
        yield f"# HELP vllm:{name} {text}"
        yield f"# TYPE vllm:{name} histogram"
        yield from _buckets(f"vllm:{name}", base, histogram)
    yield from _family("cache_config_info", "gauge", "Cache configuration.", [(_cache_config(engine), 1)])


def _family(name: str, kind: str, text: str, points: Iterable[Point]) -> Iterator[str]:
    wire = f"vllm:{name}_total" if kind == "counter" else f"vllm:{name}"
    yield f"# HELP {wire} {text}"
    yield f"# TYPE {wire} {kind}"
    for labels, value in points:
        yield f"{wire}{_braced(labels)} {float(value)!r}"


def _simple(engine: Engine) -> Iterator[tuple[str, str, str, list[Point]]]:
    counters = engine.counters
    running, waiting = len(engine.running), len(engine.waiting)
    by_reason: list[Point] = [({"reason": "capacity"}, waiting), ({"reason": "deferred"}, 0)]
    awake: list[Point] = [({"sleep_state": "awake"}, 1), ({"sleep_state": "weights_offloaded"}, 0)]
    ended: list[Point] = [
        ({"finished_reason": reason.value}, number) for reason, number in counters.finished.items()
    ]
    yield "num_requests_running", "gauge", "Requests in the running batch.", [({}, running)]
    yield "num_requests_waiting", "gauge", "Requests waiting to be scheduled.", [({}, waiting)]
    yield "num_requests_waiting_by_reason", "gauge", "Waiting requests by reason.", by_reason
    yield "engine_sleep_state", "gauge", "Engine sleep state.", awake
    yield "kv_cache_usage_perc", "gauge", "KV-cache usage, 1 = full.", [({}, engine.pool.usage_ratio)]
    for name, text, value in (
        ("prefix_cache_queries", "Tokens looked up in the prefix cache.", counters.prefix_queries),
        ("prefix_cache_hits", "Tokens found in the prefix cache.", counters.prefix_hits),
        ("num_preemptions", "Preemptions.", counters.preemptions),
        ("prompt_tokens", "Prompt tokens processed.", counters.prompt_tokens),
        ("prompt_tokens_cached", "Prompt tokens found in cache.", counters.cached_prompt_tokens),
        ("generation_tokens", "Tokens generated.", counters.generation_tokens),
    ):
        yield name, "counter", text, [({}, value)]
    yield "request_success", "counter", "Ended requests by reason, aborts and errors included.", ended


def _histograms(engine: Engine) -> Iterator[tuple[str, str, Histogram]]:
    counters = engine.counters
    yield "time_to_first_token_seconds", "Time to first token.", counters.ttft
    yield "inter_token_latency_seconds", "Time between outputs.", counters.itl
    yield "request_time_per_output_token_seconds", "Mean time per token of a request.", counters.per_token
    yield "e2e_request_latency_seconds", "Whole request.", counters.e2e
    yield "request_queue_time_seconds", "Waiting for the first scheduling.", counters.queue
    yield "request_inference_time_seconds", "From scheduling to the end.", counters.inference
    yield "request_prefill_time_seconds", "From scheduling to the first token.", counters.prefill
    yield "request_decode_time_seconds", "From the first token to the end.", counters.decode


def _buckets(name: str, base: Labels, histogram: Histogram) -> Iterator[str]:
    edges = [repr(bound / MICROS_PER_SECOND) for bound in histogram.bounds_us] + ["+Inf"]
    for edge, count in zip(edges, accumulate(histogram.counts), strict=True):
        yield f"{name}_bucket{_braced(base | {'le': edge})} {float(count)!r}"
    yield f"{name}_count{_braced(base)} {float(histogram.count)!r}"
    yield f"{name}_sum{_braced(base)} {histogram.sum_us / MICROS_PER_SECOND!r}"


def _cache_config(engine: Engine) -> Labels:
    return {
        "block_size": str(engine.spec.block_tokens),
        "cache_dtype": "auto",
        "enable_prefix_caching": str(engine.spec.prefix_caching),
        "engine": "0",
        "num_gpu_blocks": str(engine.spec.blocks),
    }


def _braced(labels: Labels) -> str:
    """Return labels in braces. Names of models are the fleet's own and need no escape."""
    return "{" + ",".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"
