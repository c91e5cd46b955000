"""What chunks say, in the dialects engines speak and in shapes nobody should send."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.requests.answers import NOTHING, EngineTimes, Usage, read_chunk, read_whole
from telemetry.requests import Finish

KEYS = [
    "choices",
    "delta",
    "message",
    "content",
    "tool_calls",
    "usage",
    "error",
    "type",
    "response",
    "output",
]
KEYS += [
    "status",
    "finish_reason",
    "index",
    "x_groq",
    "timings",
    "metrics",
    "nvext",
    "queue_time_ms",
    "object",
]
SIMPLE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(
    SIMPLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)


def _chunk(**parts):
    return read_chunk(json.dumps(parts).encode())


def _delta(**delta):
    return _chunk(choices=[{"index": 0, "delta": delta}])


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "a"},
        {"reasoning_content": "a", "content": None},
        {"reasoning": "a"},
        {"refusal": "no"},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]},
        {"function_call": {"arguments": "{"}},
        {"content": [{"type": "text", "text": "a"}]},
    ],
)
def test_this_is_content(delta):
    assert _delta(**delta).content == (0,)


@pytest.mark.parametrize(
    "delta", [{"role": "assistant", "content": ""}, {"content": None}, {}, {"tool_calls": []}]
)
def test_this_is_no_content(delta):
    assert _delta(**delta).content == ()


def test_completions_and_choices_are_told_apart_by_index():
    said = _chunk(choices=[{"index": 1, "text": "a"}, {"index": 0, "text": "", "finish_reason": "stop"}])
    assert (said.content, said.finished) == ((1,), ((0, Finish.STOP),))


def test_usage_is_found_wherever_it_is_put():
    plain = {"prompt_tokens": 9, "completion_tokens": 4}
    assert _chunk(choices=[], usage=plain).usage == Usage(prompt_tokens=9, output_tokens=4)
    assert _chunk(choices=[{}], x_groq={"usage": plain}).usage == Usage(prompt_tokens=9, output_tokens=4)
    deepseek = {**plain, "prompt_cache_hit_tokens": 3}
    assert _chunk(choices=[], usage=deepseek).usage == Usage(
        prompt_tokens=9, output_tokens=4, cached_tokens=3
    )
    vllm = {**plain, "prompt_tokens_details": None}
    assert _chunk(choices=[], usage=vllm).usage == Usage(prompt_tokens=9, output_tokens=4)
    assert _chunk(choices=[], usage=None).usage is None


def test_engines_own_times_are_read():
    assert _chunk(choices=[], metrics={"queue_time_ms": 1.5}).times == EngineTimes(queue_us=1500)
    timings = {"prompt_n": 12, "draft_n": 9, "draft_n_accepted": 7}
    expected = EngineTimes(prefill_tokens=12, draft_tokens=9, accepted_draft_tokens=7)
    assert _chunk(choices=[], timings=timings).times == expected


@pytest.mark.parametrize(
    ("chunk", "error"),
    [
        ({"error": {"message": "m", "type": "overloaded_error", "code": 503}}, "overloaded_error"),
        ({"error": {"message": "m", "code": "context_length_exceeded"}}, "context_length_exceeded"),
        ({"error": "a sentence about your prompt"}, "stream_error"),
        ({"error": "x", "error_type": "generation"}, "generation"),
        ({"error": {"code": "a sentence about your prompt"}}, "stream_error"),
        ({"object": "error", "message": "m", "type": "BadRequestError"}, "BadRequestError"),
        ({"type": "error", "code": "server_error"}, "server_error"),
    ],
)
def test_an_error_is_named_by_its_code_never_by_its_message(chunk, error):
    assert _chunk(**chunk).error == error


def test_a_named_error_event_is_an_error_even_when_unreadable():
    assert read_chunk(b"boom", b"error").error == "stream_error"
    assert read_chunk(b"boom") == NOTHING


def test_the_responses_api_is_read():
    assert _chunk(type="response.created", response={"status": "in_progress", "usage": None}) == NOTHING
    assert _chunk(type="response.output_text.delta", output_index=1, delta="a").content == (1,)
    assert _chunk(
        type="response.output_item.added", output_index=2, item={"type": "function_call"}
    ).calls == ((0, 2),)
    usage = {"input_tokens": 8, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 4}}
    usage["output_tokens_details"] = {"reasoning_tokens": 2}
    ended = _chunk(
        type="response.completed", response={"status": "completed", "output": [{}], "usage": usage}
    )
    assert (ended.content, ended.finished, ended.done) == ((), ((0, Finish.STOP),), True)
    assert ended.usage == Usage(prompt_tokens=8, cached_tokens=4, output_tokens=5, reasoning_tokens=2)
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert _chunk(type="response.incomplete", response=cut).finished == ((0, Finish.LENGTH),)
    failed = _chunk(type="response.failed", response={"status": "failed", "error": {"code": "server_error"}})
    assert failed.error == "server_error"
    whole = read_whole(
        json.dumps({"object": "response", "status": "completed", "output": [{"type": "message"}]}).encode()
    )
    assert (whole.content, whole.finished) == ((0,), ((0, Finish.STOP),))


@given(st.binary(max_size=50) | JSON.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=300)
def test_whatever_comes_nothing_is_raised(data):
    for said in (read_chunk(data), read_chunk(data, b"error"), read_whole(data)):
        if said.usage:
            assert all(
                count is None or 0 <= count < 2**53
                for count in (said.usage.prompt_tokens, said.usage.output_tokens)
            )


def test_an_endlessly_nested_chunk_says_nothing():
    assert read_chunk(b"[" * 100_000) == NOTHING
