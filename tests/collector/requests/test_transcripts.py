"""Recorded streams of real engines, replayed byte for byte through proxy and middleware."""

import asyncio
import json
from dataclasses import asdict

import pytest

from telemetry.requests import Finish, Status, TokenGaps

pytestmark = pytest.mark.shared

# name, content chunks, finish, then as the engine states them: prompt, cached, output, reasoning
# tokens; tool calls; queue time in microseconds. Without usage the output is counted from chunks.
STREAMS = [
    ("azure-chat-promptfilter", 24, Finish.STOP, None, None, None, None, 0, None),
    ("crusoe-chat", 13, Finish.STOP, 46, 0, 14, None, 0, None),
    ("deepseek-reasoning", 209, Finish.STOP, 6, 0, 212, 198, 0, None),
    ("dynamo-1.0.2-mocker", 0, Finish.LENGTH, 64, None, 24, None, 0, 4565),
    ("groq-chat", 72, Finish.STOP, 18, None, 73, None, 0, 282450),
    ("groq-error-midstream", 93, Finish.ERROR, None, None, None, None, 0, None),
    ("litellm-1.99.4", 47, Finish.STOP, 37, 16, 47, 0, 0, None),
    ("llamacpp-0.5.0-dev-chat", 25, Finish.LENGTH, 66, 0, 32, None, 0, None),
    ("llamacpp-0.5.0-dev-queued", 4, Finish.LENGTH, 66, 54, 8, None, 0, None),
    ("llamacpp-0.5.0-dev-specdecode", 63, Finish.LENGTH, 66, 0, 64, None, 0, None),
    ("mistral-chat", 79, Finish.STOP, 11, None, 80, None, 0, None),
    ("ollama-chat", 38, Finish.STOP, None, None, None, None, 0, None),
    ("openai-chat-plain", 48, Finish.STOP, None, None, None, None, 0, None),
    ("openai-completions", 6, Finish.STOP, None, None, None, None, 0, None),
    ("openai-detailed-usage", 0, Finish.LENGTH, 12, 0, 100, 100, 0, None),
    ("openai-include-usage", 5, Finish.STOP, 12, 0, 5, 0, 0, None),
    ("openai-n2-choices", 104, Finish.STOP, 26, 0, 104, 0, 0, None),
    ("openai-parallel-tools", 15, Finish.TOOL_CALLS, 75, 0, 51, 0, 2, None),
    ("vllm-2025-03-chat", 391, Finish.STOP, None, None, None, None, 0, None),
    ("vllm-2025-03-completions", 7, Finish.LENGTH, None, None, None, None, 0, None),
]


ROUTES = ["proxy", "middleware"]
ANY_ROUTE = pytest.mark.parametrize("route", ROUTES)
ANY_STREAM = pytest.mark.parametrize("name", [row[0] for row in STREAMS])


def _cut(stream, width):
    return [stream[at : at + width] for at in range(0, len(stream), width)]


def test_the_table_names_every_recorded_stream(recorded):
    assert sorted(path.stem for path in recorded.glob("*.sse")) == [row[0] for row in STREAMS]


@ANY_ROUTE
@pytest.mark.parametrize("row", STREAMS, ids=lambda row: row[0])
def test_a_recorded_stream_passes_whole_and_ends_in_its_state(play, recorded, route, row):
    name, chunks, finish, prompt, cached, output, reasoning, calls, queue_us = row
    stream = (recorded / f"{name}.sse").read_bytes()
    body, record = play(route, _cut(stream, 333), include_usage=False)
    assert body == stream
    failed = name == "groq-error-midstream"
    assert record.status is (Status.ERROR if failed else Status.OK)
    assert record.error_class == ("tool_use_failed" if failed else None)
    assert (record.http_status, record.finish, record.chunks, record.tool_calls) == (
        200,
        finish,
        chunks,
        calls,
    )
    assert (record.prompt_tokens, record.cached_tokens, record.reasoning_tokens) == (
        prompt,
        cached,
        reasoning,
    )
    assert record.output_tokens == (chunks if output is None else output)
    assert (record.tokens_estimated, record.queue_us) == (output is None, queue_us)
    assert (record.ttft_us is None) == record.output_empty == (chunks == 0)
    choices = 2 if name == "openai-n2-choices" else 1
    assert sum(record.gap_buckets) == max(0, chunks - choices)


def _only_usage(event):
    text = event.removeprefix(b"data: ")
    chunk = json.loads(text) if text.startswith(b"{") else {}
    choices = chunk.get("choices", ())
    bare = all(choice.get("delta") == {} and not choice.get("finish_reason") for choice in choices)
    return bool(chunk.get("usage")) and bare


@ANY_ROUTE
@ANY_STREAM
def test_only_a_chunk_that_is_nothing_but_usage_is_taken_out(play, recorded, route, name):
    stream = (recorded / f"{name}.sse").read_bytes()
    events = [event + b"\n\n" for event in stream.split(b"\n\n") if event]
    kept = b"".join(event for event in events if not _only_usage(event))
    body, _ = play(route, _cut(stream, 50))
    assert body == kept


def _points(stream):
    """Three places before anything says that the answer is whole or has failed."""
    ends = (b'"finish_reason":"', b'"finish_reason": "', b"event: error", b"data: [DONE]")
    whole = min(found for end in ends if (found := stream.find(end)) >= 0)
    return [whole * quarter // 4 for quarter in (1, 2, 3)]


@ANY_ROUTE
@ANY_STREAM
def test_a_stream_that_breaks_off_is_an_error(play, recorded, route, name):
    stream = (recorded / f"{name}.sse").read_bytes()
    for point in _points(stream):
        body, died = play(route, _cut(stream[:point], 500), "cut", include_usage=False)
        assert body == stream[:point]
        assert (died.status, died.finish) == (Status.ERROR, Finish.ERROR)
        assert died.error_class == {"proxy": "upstream_cut", "middleware": "app_error"}[route]
        body, short = play(route, _cut(stream[:point], 500), "end")
        assert stream.startswith(body)
        assert (short.status, short.error_class) == (Status.ERROR, "stream_cut")
        assert died.output_tokens == died.chunks == short.chunks
        assert died.tokens_estimated


@ANY_ROUTE
@ANY_STREAM
def test_a_stream_whose_client_leaves_is_an_abort(play, recorded, route, name):
    stream = (recorded / f"{name}.sse").read_bytes()
    for point in _points(stream):
        body, record = play(route, _cut(stream[:point], 500), "gone", include_usage=False)
        assert body == stream[:point]
        assert (record.status, record.finish) == (Status.ABORTED, Finish.ABORT)
        assert (record.error_class, record.tokens_estimated) == ("client_gone", True)
        assert record.output_tokens == record.chunks


SEEN_OTHERWISE = {"request_id", "replica", "vantage", "gap_max_us", "gap_buckets"}


@ANY_STREAM
def test_proxy_and_middleware_say_the_same_of_a_stream(play, recorded, name):
    parts = _cut((recorded / f"{name}.sse").read_bytes(), 333)
    bodies, records = zip(*(play(route, parts) for route in ROUTES), strict=True)
    assert bodies[0] == bodies[1]
    seen, inside = (
        {
            key: value
            for key, value in asdict(record).items()
            if key not in SEEN_OTHERWISE and not key.endswith("_us")
        }
        for record in records
    )
    assert seen == inside
    measured = [
        {key for key, value in asdict(record).items() if value is not None and key.endswith("_us")}
        for record in records
    ]
    assert measured[0] == measured[1]


@pytest.mark.parametrize("name", ["litellm-1.99.4", "dynamo-1.0.2-mocker", "llamacpp-0.5.0-dev-specdecode"])
def test_a_stream_at_its_recorded_pace_is_timed_as_it_was_sent(lab, script, speak, recorded, name):
    lines = (recorded / f"{name}.timed.jsonl").read_text().splitlines()
    chunks = [json.loads(line) for line in lines]

    async def run():
        before = 0.0
        script.steps = [speak.HEAD]
        for chunk in chunks:
            script.steps += [chunk["t"] - before, speak.chunk(chunk["raw"].encode())]
            before = chunk["t"]
        script.steps += [speak.END]
        async with lab(sample_ratio=1) as it:
            await it.ask()
            record = await it.record()
            return record, await it.told(1, kind=TokenGaps, seconds=0.1)

    record, gaps = asyncio.run(run())
    sent = script.sent_at[1:-1]
    spread_us = (sent[-1] - sent[0]) * 1e6
    assert record.status is Status.OK
    assert abs(record.e2e_us - record.first_byte_us - spread_us) < 50_000
    if record.chunks:
        assert abs(sum(gaps[0].gaps_us) - (record.last_token_us - record.ttft_us)) == 0
        assert record.last_token_us - record.ttft_us <= spread_us + 50_000
