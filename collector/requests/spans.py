"""OTLP trace exports: which spans are a request to a model, and which attribute fills which field.

Two dialects: the spans of inference engines (vLLM and SGLang, `gen_ai.latency.*`, in seconds) and
the OpenTelemetry GenAI conventions (spans of clients and gateways). Any other span is no request.
An attribute of the resource counts like one of the span, so that `OTEL_RESOURCE_ATTRIBUTES` can
say what an engine does not: `inferometer.model`, `inferometer.pool` and the like.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from google.protobuf.json_format import Parse, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector.requests.mapped import FieldSource, RecordMap
from collector.requests.units import Unit
from telemetry.identity import Vantage

START, END, FAILED, SPAN_ID = "span.start", "span.end", "span.status", "span.id"
"""What a span says outside its attributes, under names of our own."""
_ID_BYTES: Final = 8
_REQUESTS: Final = frozenset({"chat", "text_completion", "generate_content"})
"""Values of `gen_ai.operation.name` that are a request to a model."""
_ENGINE_MARKS: Final = ("gen_ai.latency.e2e", "gen_ai.latency.time_to_first_token")


class ExportError(ValueError):
    """A body that is no trace export: where it stops being one, and why."""


class Dialect(StrEnum):
    """Whose words a span speaks."""

    ENGINE = "engine"
    GENAI = "genai"


_PLACED: Final = (
    FieldSource("tenant", ("inferometer.tenant",), Unit.TEXT),
    FieldSource("team", ("inferometer.team",), Unit.TEXT),
    FieldSource("workload", ("inferometer.workload",), Unit.TEXT),
    FieldSource("pool", ("inferometer.pool",), Unit.TEXT),
    FieldSource("region", ("inferometer.region", "cloud.region"), Unit.TEXT),
    FieldSource("synthetic", ("inferometer.synthetic",), Unit.FLAG),
    FieldSource("status", (FAILED,), Unit.STATUS),
    FieldSource("error_class", ("error.type",), Unit.TEXT),
    FieldSource("http_status", ("http.response.status_code", "http.status_code"), Unit.HTTP_STATUS),
    FieldSource("started_at_us", (START,), Unit.UNIX_NANOS),
    FieldSource("finish", ("gen_ai.response.finish_reasons",), Unit.FINISH),
    FieldSource("max_output_tokens", ("gen_ai.request.max_tokens",), Unit.COUNT),
)
"""What both dialects say alike."""

MAPS: Final[Mapping[Dialect, RecordMap]] = {
    Dialect.ENGINE: RecordMap(
        vantage=Vantage.SPAN,
        sources=(
            *_PLACED,
            FieldSource("request_id", ("gen_ai.request.id", SPAN_ID), Unit.TEXT),
            FieldSource(
                "model", ("inferometer.model", "gen_ai.response.model", "gen_ai.request.model"), Unit.TEXT
            ),
            FieldSource("replica", ("inferometer.replica",), Unit.TEXT),
            FieldSource("ended_at_us", (END,), Unit.UNIX_NANOS),
            FieldSource("e2e_us", ("gen_ai.latency.e2e",), Unit.SECONDS),
            FieldSource("queue_us", ("gen_ai.latency.time_in_queue",), Unit.SECONDS),
            FieldSource("ttft_us", ("gen_ai.latency.time_to_first_token",), Unit.SECONDS),
            FieldSource("run_us", ("gen_ai.latency.time_in_model_inference",), Unit.SECONDS),
            FieldSource("prompt_tokens", ("gen_ai.usage.prompt_tokens",), Unit.COUNT),
            FieldSource("cached_tokens", ("gen_ai.usage.cached_tokens",), Unit.COUNT),
            FieldSource("output_tokens", ("gen_ai.usage.completion_tokens",), Unit.COUNT),
            FieldSource("choices", ("gen_ai.request.n",), Unit.COUNT),
        ),
    ),
    Dialect.GENAI: RecordMap(
        vantage=Vantage.SPAN,
        sources=(
            *_PLACED,
            FieldSource("request_id", ("gen_ai.response.id", SPAN_ID), Unit.TEXT),
            FieldSource(
                "model", ("inferometer.model", "gen_ai.response.model", "gen_ai.request.model"), Unit.TEXT
            ),
            FieldSource("replica", ("inferometer.replica",), Unit.TEXT),
            FieldSource("ended_at_us", (END,), Unit.UNIX_NANOS),
            FieldSource("ttft_us", ("gen_ai.response.time_to_first_chunk",), Unit.SECONDS),
            FieldSource("stream", ("gen_ai.request.stream",), Unit.FLAG),
            FieldSource("prompt_tokens", ("gen_ai.usage.input_tokens",), Unit.COUNT),
            FieldSource("cached_tokens", ("gen_ai.usage.cache_read.input_tokens",), Unit.COUNT),
            FieldSource("output_tokens", ("gen_ai.usage.output_tokens",), Unit.COUNT),
            FieldSource("reasoning_tokens", ("gen_ai.usage.reasoning.output_tokens",), Unit.COUNT),
            FieldSource("choices", ("gen_ai.request.choice.count",), Unit.COUNT),
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class SpanSaid:
    """One span: where it stands in its export, who it is, and all it says; no dialect = no request."""

    place: str
    key: bytes
    request_id: str
    dialect: Dialect | None
    values: Mapping[str, Any]


def decoded(body: bytes, *, as_json: bool) -> ExportTraceServiceRequest:
    """Return a trace export. Raises `ExportError` saying where the body is none."""
    export = ExportTraceServiceRequest()
    try:
        if as_json:
            Parse(body, export, ignore_unknown_fields=True)
        else:
            export.ParseFromString(body)
    except (ParseError, UnicodeDecodeError, RecursionError) as error:
        raise ExportError(f"not an OTLP trace export in JSON: {str(error)[:200]}") from None
    except DecodeError:
        raise ExportError(f"not an OTLP trace export in protobuf: {len(body):,} bytes") from None
    return export


def spans_of(export: ExportTraceServiceRequest) -> Iterator[SpanSaid]:
    """Yield every span of an export, in its order."""
    for outer, resource in enumerate(export.resource_spans):
        shared = {pair.key: _plain(pair.value) for pair in resource.resource.attributes}
        for middle, scope in enumerate(resource.scope_spans):
            for inner, span in enumerate(scope.spans):
                place = f"resourceSpans[{outer}].scopeSpans[{middle}].spans[{inner}]"
                yield _said(place, span, shared)


def _said(place: str, span: Span, shared: Mapping[str, Any]) -> SpanSaid:
    values = {**shared, **{pair.key: _plain(pair.value) for pair in span.attributes}}
    name = _named(span.span_id)
    values |= {START: span.start_time_unix_nano, END: span.end_time_unix_nano, SPAN_ID: name}
    if span.status.code == Status.STATUS_CODE_ERROR:
        values[FAILED] = "error"
    return SpanSaid(place, span.trace_id + span.span_id, name, _dialect(values), values)


def _named(span_id: bytes) -> str:
    """Return a span's id as people write it. JSON's hexadecimal text was read as base64: undone here."""
    return span_id.hex() if len(span_id) <= _ID_BYTES else base64.b64encode(span_id).decode()


def _dialect(values: Mapping[str, Any]) -> Dialect | None:
    if any(mark in values for mark in _ENGINE_MARKS):
        return Dialect.ENGINE
    return Dialect.GENAI if values.get("gen_ai.operation.name") in _REQUESTS else None


def _plain(value: AnyValue) -> Any:
    """Return an attribute's value; what is nested deeper than a list is left out."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [
            _plain(item) for item in value.array_value.values if item.WhichOneof("value") != "array_value"
        ]
    return None if kind in (None, "kvlist_value", "bytes_value") else getattr(value, kind)
