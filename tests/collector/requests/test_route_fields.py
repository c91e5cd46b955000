"""Each route fills exactly the fields that the committed table says it does."""

import asyncio
import dataclasses
import hashlib
import json
import time

import pytest

from collector.clock import HostClock
from collector.requests.log_formats import LITELLM, MAPPABLE, format_of
from collector.requests.mapped import RecordMaker
from collector.requests.otlp import SpanIntake
from collector.requests.route_fields import FIELDS, ROUTES, Filled
from telemetry.identity import Vantage
from telemetry.requests import RequestRecord

SECOND = 1_000_000_000
KEY = "sk-1"
NOTHING = {
    field.name: None if field.default is dataclasses.MISSING else field.default
    for field in dataclasses.fields(RequestRecord)
} | {"vantage": None, "model": "__unknown__"}
"""What a field holds that nobody filled; every record has a vantage of its own."""


def filled(*records):
    """The fields that any of the records says something in."""
    return {name for name, empty in NOTHING.items() if any(getattr(one, name) != empty for one in records)}


def said(route, *how):
    return {name for name, routes in FIELDS.items() if routes[route] in how}


def test_the_table_has_every_field_and_no_other():
    assert list(FIELDS) == [field.name for field in dataclasses.fields(RequestRecord)]
    assert all(tuple(routes) == ROUTES for routes in FIELDS.values())


WISH = {"model": "m", "stream": True, "n": 2, "max_tokens": 9, "priority": 3}
HEADERS = {"Authorization": f"Bearer {KEY}", "X-Request-Id": "r1", "X-Inferometer-Synthetic": "1"}
TENANTS = {hashlib.sha256(KEY.encode()).hexdigest(): "acme"}


def streamed(speak, *, usage):
    """A stream in which an engine says all that engines say."""
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    details = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}
    details["completion_tokens_details"] = {"reasoning_tokens": 1}
    last = {
        "model": "m",
        "choices": [],
        "usage": details,
        "metrics": {"queue_time_ms": 5},
        "timings": {"prompt_n": 5, "draft_n": 4, "draft_n_accepted": 2},
    }
    parts = [speak.delta("a"), speak.delta("b"), speak.delta(tool_calls=[call]), speak.delta("x", index=1)]
    ends = [speak.delta(index=0, finish="stop"), speak.delta(index=1, finish="stop")]
    return [*parts, *ends, *([speak.event(last)] if usage else []), speak.event("[DONE]")]


def refused(speak):
    return speak.whole(b"{}", status="429 Too Many Requests")


async def through_the_proxy(lab, script, speak, *, usage):
    answer = b"".join(speak.chunk(part) for part in streamed(speak, usage=usage))
    script.steps = [speak.HEAD, speak.chunk(b": \n\n"), 0.005, answer, speak.END]
    named = {"pool": "chat", "region": "eu", "tenants": TENANTS, "trusted": "127.0.0.1/32"}
    async with lab(**named) as it:
        await it.ask(WISH, headers=HEADERS)
        await it.ask(WISH, headers=HEADERS)  # the same again: a retry
        script.steps = [refused(speak)]
        await it.ask({**WISH, "stream": False}, headers=HEADERS)
        return await it.told(3)


@pytest.mark.parametrize("usage", [True, False])
def test_the_proxy(lab, script, speak, usage):
    records = asyncio.run(through_the_proxy(lab, script, speak, usage=usage))
    stated = {"prompt_tokens", "cached_tokens", "reasoning_tokens", "queue_us", "prefill_tokens"}
    stated |= {"draft_tokens", "accepted_draft_tokens"}
    expected = said("proxy", Filled.GIVEN, Filled.ESTIMATED)
    assert filled(*records) == expected - ({"tokens_estimated"} if usage else stated)
    assert said("proxy", Filled.ESTIMATED) == {"output_tokens", "tokens_estimated"}


def test_the_middleware_fills_what_the_proxy_fills(engine, answering, speak, tmp_path):
    config = tmp_path / "m.toml"
    config.write_text(
        f'pool = "chat"\nregion = "eu"\ntrusted = ["127.0.0.1/32"]\n[tenants]\n{next(iter(TENANTS))} = "acme"\n'
    )
    headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
    says = {"type": "http.request", "body": json.dumps(WISH).encode()}

    async def run(app, count):
        with engine(app, config=config) as it:
            for _ in range(count):
                await it.ask([says], headers=[(b"content-type", b"application/json"), *headers])
            return await it.told(count)

    rich = asyncio.run(run(answering([b": \n\n", *streamed(speak, usage=True)]), 2))
    plain = asyncio.run(run(answering(streamed(speak, usage=False)), 1))
    failed = asyncio.run(run(answering([b"{}"], status=429, kind=b"application/json"), 1))
    assert filled(*rich, *plain, *failed) == said("middleware", Filled.GIVEN, Filled.ESTIMATED)
    assert all(routes["middleware"] is routes["proxy"] for routes in FIELDS.values())


def attributes(pairs):
    kinds = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}

    def value(one):
        if isinstance(one, list):
            return {"arrayValue": {"values": [value(item) for item in one]}}
        return {kinds[type(one)]: str(one) if type(one) is int else one}

    return [{"key": key, "value": value(one)} for key, one in pairs.items()]


def spanned(pairs, *, failed=False):
    """The record of one span that ended just now after two seconds."""
    end = time.time_ns()
    span = {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "startTimeUnixNano": str(end - 2 * SECOND),
        "endTimeUnixNano": str(end),
        "attributes": attributes(pairs),
        "status": {"code": 2} if failed else {},
    }
    taken = []
    intake = SpanIntake(host="node-1", clock=HostClock(), deliver=taken.extend)
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    assert intake.take(body.encode(), as_json=True).reason == ""
    return taken[0]


NAMED = {
    "inferometer.tenant": "acme",
    "inferometer.team": "search",
    "inferometer.workload": "batch",
    "inferometer.pool": "chat",
    "inferometer.region": "eu",
    "inferometer.replica": "node-1:8000",
    "inferometer.synthetic": True,
    "gen_ai.request.model": "m",
    "gen_ai.request.max_tokens": 9,
    "gen_ai.response.finish_reasons": ["stop"],
    "http.response.status_code": 200,
    "error.type": "timeout",
}
ENGINE = {
    "gen_ai.latency.e2e": 2.0,
    "gen_ai.latency.time_to_first_token": 0.5,
    "gen_ai.latency.time_in_queue": 0.1,
    "gen_ai.latency.time_in_model_prefill": 0.4,
    "gen_ai.latency.time_in_model_decode": 1.5,
    "gen_ai.latency.time_in_model_inference": 1.9,
    "gen_ai.usage.prompt_tokens": 7,
    "gen_ai.usage.completion_tokens": 3,
    "gen_ai.usage.cached_tokens": 2,
    "gen_ai.request.id": "r1",
    "gen_ai.request.n": 2,
}
GENAI = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.stream": True,
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.response.time_to_first_chunk": 0.5,
    "gen_ai.usage.input_tokens": 7,
    "gen_ai.usage.output_tokens": 3,
    "gen_ai.usage.cache_read.input_tokens": 2,
    "gen_ai.usage.reasoning.output_tokens": 1,
    "gen_ai.request.choice.count": 2,
}


def test_spans_of_engines():
    assert filled(spanned(NAMED | ENGINE)) == said("spans of engines", Filled.GIVEN)


def test_spans_of_genai_clients():
    whole = spanned(NAMED | GENAI | {"gen_ai.request.stream": False})
    assert filled(spanned(NAMED | GENAI), whole) == said("spans of GenAI clients", Filled.GIVEN)


def line(chosen, values):
    now_us = time.time_ns() // 1_000
    return RecordMaker(chosen, host="node-1").record(values, request_id="x", now_us=now_us)


def test_litellms_log():
    now = time.time()
    payload = {
        "id": "chatcmpl-1",
        "status": "success",
        "model_group": "m",
        "model": "hosted_vllm/m",
        "api_base": "http://127.0.0.1:8000/v1",
        "stream": True,
        "startTime": now - 2,
        "completionStartTime": now - 1.5,
        "endTime": now,
        "model_parameters": {"max_tokens": 9, "n": 2},
        "response": {"choices": [{"finish_reason": "stop"}]},
        "metadata": {
            "user_api_key_alias": "acme",
            "user_api_key_team_alias": "search",
            "usage_object": {
                "prompt_tokens": 7,
                "completion_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
        },
    }
    failure = {"error_code": "429", "error_class": "RateLimitError"}
    failed = {**payload, "status": "failure", "stream": False, "error_information": failure}
    found = filled(line(LITELLM, payload), line(LITELLM, failed))
    assert found == said("LiteLLM's log", Filled.GIVEN)


def test_an_access_log_gives_what_its_map_names(tmp_path):
    units = {"started_at_us": "unix_us", "ended_at_us": "unix_us"}
    fields = [
        f'{name} = {{ from = "{name}", unit = "{units.get(name, "us")}" }}'
        if name.endswith("_us")
        else f'{name} = "{name}"'
        for name in MAPPABLE
    ]
    described = tmp_path / "map.toml"
    described.write_text("[fields]\n" + "\n".join(fields))
    ended = time.time_ns() // 1_000
    words = {"status": "ok", "finish": "stop", "http_status": 200, "synthetic": True, "output_empty": True}
    values = {
        name: words.get(name, f"a {name}" if column.kind == "text" else 3)
        for name, column in MAPPABLE.items()
    } | {"started_at_us": ended - 3, "ended_at_us": ended, "stream": True}
    chosen = format_of(str(described))
    record = line(chosen, values)
    assert record.vantage is Vantage.LOG
    whole = line(chosen, {**values, "stream": False})
    assert filled(record, whole) == said("access log", Filled.GIVEN)
