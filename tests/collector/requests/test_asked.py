"""What a request asks, and the usage chunk asked for besides."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.requests.asked import UNREAD, read_asked, with_usage


def test_the_measured_parts_are_read():
    asked = read_asked(
        b'{"model":"m","stream":true,"n":3,"max_tokens":9,"priority":-1,"stream_options":{"include_usage":true}}'
    )
    assert (asked.model, asked.stream, asked.usage, asked.choices) == ("m", True, True, 3)
    assert (asked.max_output_tokens, asked.priority) == (9, -1)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b'"x"'])
def test_what_is_no_object_is_unread(body):
    assert read_asked(body) == UNREAD


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":5,"stream":"yes","n":-2,"max_tokens":1.5,"priority":true}',
        b'{"n":99999999999999999999}',
        b'{"stream_options":7}',
    ],
)
def test_values_of_the_wrong_kind_say_nothing(body):
    asked = read_asked(body)
    assert (asked.model, asked.stream, asked.usage, asked.choices) == (None, False, False, 1)
    assert (asked.max_output_tokens, asked.priority) == (None, None)


def test_usage_is_put_in_front_and_the_rest_stays_byte_for_byte():
    body = b' \n{ "prompt" : "\\u00e9 1.0e5", "temperature":1.0e5, "stream":true}'
    asking = with_usage(body, read_asked(body))
    assert asking == b' \n{"stream_options":{"include_usage":true},' + body[3:]


@given(st.sampled_from([None, {}, {"include_usage": False}, {"continuous_usage_stats": True}]))
def test_options_of_the_client_are_kept_beside_it(options):
    body = json.dumps({"stream": True, "stream_options": options}).encode()
    asking = json.loads(with_usage(body, read_asked(body)))
    assert asking == {"stream": True, "stream_options": {**(options or {}), "include_usage": True}}


@pytest.mark.parametrize("body", ['{"stream":true}'.encode("utf-16"), b'\xef\xbb\xbf{"stream":true}'])
def test_a_body_in_another_encoding_is_left_alone(body):
    assert with_usage(body, read_asked(body)) is None
