"""Recorded streams of real engines, replayed byte for byte through the real proxy."""

import asyncio
import json

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


def _replay(lab, script, speak, stream, *, width, include_usage):
    async def run():
        cut = [stream[at : at + width] for at in range(0, len(stream), width)]
        script.steps = [speak.HEAD, *(speak.chunk(part) for part in cut), speak.END]
        async with lab(include_usage=include_usage) as it:
            return await it.ask({"model": "m", "stream": True}), await it.record()

    return asyncio.run(run())


def test_the_table_names_every_recorded_stream(recorded):
    assert sorted(path.stem for path in recorded.glob("*.sse")) == [row[0] for row in STREAMS]


@pytest.mark.parametrize("row", STREAMS, ids=lambda row: row[0])
def test_a_recorded_stream_passes_whole_and_ends_in_its_state(lab, script, speak, recorded, row):
    name, chunks, finish, prompt, cached, output, reasoning, calls, queue_us = row
    stream = (recorded / f"{name}.sse").read_bytes()
    reply, record = _replay(lab, script, speak, stream, width=333, include_usage=False)
    assert reply.body == stream
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


@pytest.mark.parametrize("name", ["crusoe-chat", "groq-chat", "azure-chat-promptfilter", "litellm-1.99.4"])
def test_only_a_chunk_that_is_nothing_but_usage_is_taken_out(lab, script, speak, recorded, name):
    stream = (recorded / f"{name}.sse").read_bytes()
    events = [event + b"\n\n" for event in stream.split(b"\n\n") if event]
    bare = (b'"choices":[],"usage"', b'"choices":[{"index":0,"delta":{}}],"usage"')
    kept = b"".join(event for event in events if not any(mark in event for mark in bare))
    reply, record = _replay(lab, script, speak, stream, width=50, include_usage=True)
    assert reply.body == kept
    assert record.status is Status.OK


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
