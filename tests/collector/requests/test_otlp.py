"""The OTLP door: what it takes, what it refuses and where, and that a span counts once."""

import gzip
import json
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from collector.clock import HostClock
from collector.requests import otlp
from collector.requests.otlp import OtlpDoor, SpanIntake
from telemetry.identity import Vantage
from telemetry.requests import Finish, Status

SECOND = 1_000_000_000
VLLM = {
    "gen_ai.latency.e2e": 1.5,
    "gen_ai.latency.time_to_first_token": 0.25,
    "gen_ai.latency.time_in_queue": 0.1,
    "gen_ai.usage.prompt_tokens": 7,
    "gen_ai.usage.completion_tokens": 3,
    "gen_ai.request.id": "cmpl-1",
}


def export(*spans, resource=None):
    """An export of spans, each (id, attributes) or (id, attributes, changes of the span)."""
    request = ExportTraceServiceRequest()
    outer = request.resource_spans.add()
    _put(outer.resource.attributes, resource or {})
    scope = outer.scope_spans.add()
    end = time.time_ns()
    for number, attributes, *changes in spans:
        span = scope.spans.add(
            trace_id=b"t" * 16, span_id=number.to_bytes(8), name="llm_request",
            start_time_unix_nano=end - 2 * SECOND, end_time_unix_nano=end,
        )  # fmt: skip
        _put(span.attributes, attributes)
        for change in changes:
            change(span)
    return request


def _put(pairs, values):
    fields = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
    for key, value in values.items():
        setattr(pairs.add(key=key).value, fields[type(value)], value)


@pytest.fixture
def door():
    """A door that listens, and what came through it in `door.taken`."""
    taken = []
    opened = OtlpDoor(SpanIntake(host="node-1", clock=HostClock(), deliver=taken.extend), ("127.0.0.1", 0))
    opened.taken = taken
    opened.start()
    yield opened
    threading.Thread(target=opened.stop).start()  # half a second that nobody need wait for


def post(door, body, *, kind="application/x-protobuf", path="", **headers):
    named = {"Content-Type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = urllib.request.Request(door.url + path, body, named)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["message"]


def test_a_span_of_vllm_becomes_a_record(door):
    status, answer = post(door, export((1, VLLM), resource={"inferometer.model": "qwen"}).SerializeToString())
    assert (status, answer) == (200, b"")
    (record,) = door.taken
    assert (record.request_id, record.model, record.vantage) == ("cmpl-1", "qwen", Vantage.SPAN)
    assert (record.e2e_us, record.ttft_us, record.queue_us) == (1_500_000, 250_000, 100_000)
    assert (record.prompt_tokens, record.output_tokens, record.cached_tokens) == (7, 3, None)
    assert record.ended_at_us - record.started_at_us == record.e2e_us
    assert (record.status, record.finish, record.tenant) == (Status.OK, None, "__unknown__")


def test_a_body_in_chunks_is_taken_and_bounded(door, monkeypatch):
    body = gzip.compress(export((1, VLLM)).SerializeToString())
    parts = [body[at : at + 20] for at in range(0, len(body), 20)]
    assert post(door, iter(parts), Content_Encoding="gzip") == (200, b"")
    assert door.taken[0].request_id == "cmpl-1"
    monkeypatch.setattr(otlp, "MAX_BODY_BYTES", 50)
    status, message = post(door, iter(parts))
    assert status == 413 and f"{len(body)} bytes; at most 50" in message


@pytest.mark.parametrize("body", [b"", b"no chunk\r\n", b"-1\r\n", b"ffffffff\r\nshort"])
def test_a_body_that_is_no_chunks_harms_nobody(door, body):
    host, port = door.url.removeprefix("http://").removesuffix(otlp.PATH).split(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw:
        raw.sendall(b"POST /v1/traces HTTP/1.1\r\nContent-Type: application/json\r\n")
        raw.sendall(b"Transfer-Encoding: chunked\r\n\r\n" + body)
        raw.shutdown(socket.SHUT_WR)
        assert raw.recv(100).startswith((b"HTTP/1.0 400", b"HTTP/1.0 413"))
    assert post(door, export((1, VLLM)).SerializeToString())[0] == 200


def test_json_says_the_same_as_protobuf(door):
    from google.protobuf.json_format import MessageToJson

    said = json.loads(MessageToJson(export((1, VLLM))))
    said["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["spanId"] = "b7ad6b7169203331"
    del said["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"][5]  # the request's id
    status, answer = post(door, json.dumps(said).encode(), kind="application/json; charset=utf-8")
    assert (status, answer) == (200, b"{}")
    assert (door.taken[0].request_id, door.taken[0].ttft_us) == ("b7ad6b7169203331", 250_000)


def test_a_span_of_the_genai_conventions_becomes_a_record(door):
    said = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 7,
    }
    post(door, export((1, said)).SerializeToString())
    (record,) = door.taken
    assert (record.model, record.ttft_us, record.prompt_tokens) == ("gpt-x", 250_000, 7)
    assert (record.e2e_us, record.output_tokens, record.queue_us) == (2_000_000, None, None)


def failing(span):
    span.status.code = 2


def test_a_span_that_failed_is_an_error_and_an_aborted_one_an_abort(door):
    aborted = export((2, {**VLLM, "gen_ai.response.finish_reasons": "abort"}))
    post(door, export((1, {**VLLM, "error.type": "oom"}, failing)).SerializeToString())
    post(door, aborted.SerializeToString())
    assert [(one.status, one.error_class, one.finish) for one in door.taken] == [
        (Status.ERROR, "oom", None),
        (Status.ABORTED, None, Finish.ABORT),
    ]


def test_other_spans_are_passed_over_and_counted(door):
    other = {"http.request.method": "GET"}
    embedding = {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e"}
    assert post(door, export((1, other), (2, embedding)).SerializeToString()) == (200, b"")
    assert door.taken == [] and door.intake.counts == {"ignored": 2, "recorded": 0}


def test_a_span_that_is_sent_again_counts_once(door):
    body = export((1, VLLM), (2, VLLM)).SerializeToString()
    post(door, body)
    post(door, body)
    assert len(door.taken) == 2 and door.intake.counts["repeated"] == 2


def test_what_is_remembered_of_spans_is_bounded(door, monkeypatch):
    monkeypatch.setattr(otlp, "REMEMBERED", 10)
    for first in (1, 21):
        post(door, export(*((number, VLLM) for number in range(first, first + 20))).SerializeToString())
    assert len(door.intake._seen) == 10


@pytest.mark.parametrize(
    ("attributes", "change", "place"),
    [
        ({"gen_ai.usage.prompt_tokens": -1}, None, "gen_ai.usage.prompt_tokens: not a whole number"),
        ({"gen_ai.usage.prompt_tokens": "many"}, None, "gen_ai.usage.prompt_tokens: not a number"),
        ({"gen_ai.latency.time_in_queue": float("nan")}, None, "gen_ai.latency.time_in_queue: not a number"),
        ({"gen_ai.request.id": "x" * 300}, None, "gen_ai.request.id: not a printable text"),
        ({}, lambda span: setattr(span, "start_time_unix_nano", 1), "ago; is the clock right"),
    ],
)
def test_a_span_that_gives_no_record_is_told_by_its_place_and_spoils_no_other(
    door, attributes, change, place
):
    bad = (2, {**VLLM, **attributes}, *([change] if change else []))
    status, answer = post(door, export((1, VLLM), bad, (3, VLLM)).SerializeToString())
    told = ExportTraceServiceResponse.FromString(answer).partial_success
    assert (status, told.rejected_spans, len(door.taken)) == (200, 1, 2)
    assert (
        told.error_message.startswith("resourceSpans[0].scopeSpans[0].spans[1]: ")
        and place in told.error_message
    )


def test_a_partial_success_is_told_in_json_too(door):
    from google.protobuf.json_format import MessageToJson

    body = MessageToJson(export((1, {**VLLM, "gen_ai.latency.e2e": -1.0}))).encode()
    told = json.loads(post(door, body, kind="application/json")[1])["partialSuccess"]
    assert told["rejectedSpans"] == "1" and "gen_ai.latency.e2e" in told["errorMessage"]


@pytest.mark.parametrize(
    ("body", "given", "status", "place"),
    [
        (b"\xff\xff\xff", {}, 400, "protobuf: 3 bytes"),
        (b'{"resourceSpans": [', {"kind": "application/json"}, 400, "line 1 column"),
        (b'{"resourceSpans": 3}', {"kind": "application/json"}, 400, "resourceSpans"),
        (b"[" * 50_000, {"kind": "application/json"}, 400, "JSON"),
        (b"\xff\xfe", {"kind": "application/json"}, 400, "JSON"),
        (b"x", {"kind": "text/plain"}, 415, "Content-Type"),
        (b"x", {"Content_Encoding": "br"}, 415, "Content-Encoding"),
        (b"xyz", {"Content_Encoding": "gzip"}, 400, "gzip and is not"),
        (gzip.compress(b"x" * 9_000)[:20], {"Content_Encoding": "gzip"}, 400, "cut after 20 bytes"),
        (b"x" * (otlp.MAX_BODY_BYTES + 1), {}, 413, "export smaller batches"),
        (gzip.compress(b"x" * (otlp.MAX_PLAIN_BYTES + 1)), {"Content_Encoding": "gzip"}, 413, "unzipped"),
        (b"", {"path": "/../v1/metrics"}, 404, "/v1/traces"),
    ],
)
def test_a_body_that_is_no_export_is_refused_and_told_where(door, body, given, status, place):
    found, message = post(door, body, **given)
    assert found == status and place in message
    assert door.taken == [] and door.intake.counts["bodies_refused"] == 1


def test_a_zipped_body_is_read(door):
    post(door, gzip.compress(export((1, VLLM)).SerializeToString()), Content_Encoding="gzip")
    assert len(door.taken) == 1


def test_names_without_end_are_folded(door):
    spans = ((number, {**VLLM, "inferometer.tenant": f"t{number}"}) for number in range(1, 1_101))
    post(door, export(*spans).SerializeToString())
    tenants = {record.tenant for record in door.taken}
    assert len(tenants) == 1_001 and "__other__" in tenants
