"""A door for OTLP/HTTP trace exports: spans of requests become records, other spans are passed over.

At least once: an exporter sends again what it saw no answer to, so a span is taken once within
the last `REMEMBERED` spans, and after a restart of the agent it may be taken again. Bodies are
bounded before and after decompression; a body that is no export is answered 400 and where it
stops being one; a span that gives no record is told as a partial success.
"""

from __future__ import annotations

import json
import re
import threading
import zlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.clock import HostClock
from collector.local_server import LocalHandler, LocalServer
from collector.requests.mapped import RecordError, RecordMaker
from collector.requests.spans import MAPS, ExportError, SpanSaid, decoded, spans_of
from telemetry.requests import RequestRecord

PATH: Final = "/v1/traces"
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
MAX_PLAIN_BYTES: Final = 16 * 1024 * 1024
REMEMBERED: Final = 65_536
_MAX_CALLERS: Final = 8
_PART_BYTES: Final = 64 * 1024
_LINE_BYTES: Final = 256
_CHUNK_LENGTH: Final = re.compile(rb"[0-9A-Fa-f]{1,8}")
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"

Deliver = Callable[[Sequence[RequestRecord]], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one export: spans refused, and what was wrong with the first of them."""

    refused: int = 0
    reason: str = ""


class SpanIntake:
    """Exports in, records out. Thread-safe. `counts` holds spans by what became of them."""

    def __init__(self, *, host: str, clock: HostClock, deliver: Deliver) -> None:
        self.counts: Counter[str] = Counter()
        self._makers = {dialect: RecordMaker(chosen, host=host) for dialect, chosen in MAPS.items()}
        self._clock = clock
        self._deliver = deliver
        self._lock = threading.Lock()
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    @property
    def folded(self) -> int:
        """How often the name of a tenant or model past the bounds became `__other__`."""
        return sum(maker.folded for maker in self._makers.values())

    def take(self, body: bytes, *, as_json: bool) -> Outcome:
        """Take one export. Raises `ExportError` when it is none."""
        export = decoded(body, as_json=as_json)
        records: list[RequestRecord] = []
        faults: list[str] = []
        now_us = self._clock.now_us()
        with self._lock:
            for span in spans_of(export):
                try:
                    records += self._taken(span, now_us)
                except RecordError as error:
                    self.counts["refused"] += 1
                    faults.append(f"{span.place}: {error}")
            self.counts["recorded"] += len(records)
        self._deliver(records)
        return Outcome(len(faults), faults[0]) if faults else Outcome()

    def _taken(self, span: SpanSaid, now_us: int) -> list[RequestRecord]:
        if span.dialect is None:
            self.counts["ignored"] += 1
            return []
        if span.key in self._seen:
            self.counts["repeated"] += 1
            return []
        maker = self._makers[span.dialect]
        record = maker.record(span.values, request_id=span.request_id, now_us=now_us)
        self._seen[span.key] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return [record]


class OtlpDoor:
    """Listens for exports from its construction, answers from `start` to `stop`."""

    def __init__(self, intake: SpanIntake, address: tuple[str, int]) -> None:
        self.intake = intake
        self._server = _Server(address, intake)

    @property
    def url(self) -> str:
        """Return where exports are taken, with the port that was free."""
        return self._server.url + PATH

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def stop(self) -> None:
        """Stop answering and free the port."""
        self._server.stop()


class _Refusal(Exception):  # noqa: N818 - it is an answer, not a fault
    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Server(LocalServer):
    def __init__(self, address: tuple[str, int], intake: SpanIntake) -> None:
        self.intake = intake
        super().__init__(address, _Handler, name="otlp", most=_MAX_CALLERS)


class _Handler(LocalHandler):
    server: _Server

    def do_POST(self) -> None:  # noqa: N802 - the name is the base class's
        """Take one export."""
        try:
            as_json = self._kind() == _JSON
            outcome = self.server.intake.take(self._body(), as_json=as_json)
        except ExportError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except _Refusal as refusal:
            self._refuse(refusal.status, str(refusal))
        else:
            self._accept(outcome, as_json=as_json)

    def _kind(self) -> str:
        if self.path.partition("?")[0] != PATH:
            raise _Refusal(HTTPStatus.NOT_FOUND, f"traces are taken at {PATH}; metrics and logs are not")
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind not in (_PROTOBUF, _JSON):
            raise _Refusal(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type is neither {_PROTOBUF} nor {_JSON}"
            )
        return kind

    def _body(self) -> bytes:
        chunked = self.headers.get("Transfer-Encoding", "").strip().lower() == "chunked"
        body = self._chunks() if chunked else self._whole()
        encoding = self.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding == "gzip":
            return _unzipped(body)
        if encoding != "identity":
            raise _Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Encoding is neither gzip nor identity")
        return body

    def _whole(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise _Refusal(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing")
        if int(length) > MAX_BODY_BYTES:
            self._pass_over(min(int(length), MAX_PLAIN_BYTES))
            raise _too_long(int(length))
        return self.rfile.read(int(length))

    def _chunks(self) -> bytes:
        """Return a body that comes in chunks, as some exporters send what they compress as they go."""
        body, total = bytearray(), 0
        while total <= MAX_PLAIN_BYTES and (length := _chunk_length(self.rfile.readline(_LINE_BYTES))):
            total += length
            if total <= MAX_BODY_BYTES:
                body += self.rfile.read(length)
            else:
                self._pass_over(min(length, MAX_PLAIN_BYTES))
            self.rfile.readline(_LINE_BYTES)  # the end of the chunk's line
        if total > MAX_BODY_BYTES:
            raise _too_long(total)
        return bytes(body)

    def _pass_over(self, length: int) -> None:
        """Read what is sent and let it go: a caller that is still sending hears no answer."""
        while length > 0 and (part := self.rfile.read(min(length, _PART_BYTES))):
            length -= len(part)

    def _accept(self, outcome: Outcome, *, as_json: bool) -> None:
        answer = ExportTraceServiceResponse()
        if outcome.refused:
            answer.partial_success.rejected_spans = outcome.refused
            answer.partial_success.error_message = outcome.reason
        if not as_json:
            self.answer(HTTPStatus.OK, answer.SerializeToString(), _PROTOBUF)
            return
        told = {"rejectedSpans": str(outcome.refused), "errorMessage": outcome.reason}
        self.answer(
            HTTPStatus.OK, json.dumps({"partialSuccess": told} if outcome.refused else {}).encode(), _JSON
        )

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self.server.intake.counts["bodies_refused"] += 1
        self.answer(status, json.dumps({"message": message}).encode(), _JSON)


def _too_long(length: int) -> _Refusal:
    told = f"{length:,} bytes; at most {MAX_BODY_BYTES:,}: export smaller batches"
    return _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, told)


def _chunk_length(line: bytes) -> int:
    """Return the length that the line before a chunk tells; 0 = it was the last."""
    told = _CHUNK_LENGTH.match(line)
    if told is None:
        raise ExportError("the body is said to come in chunks and does not")
    return int(told[0], 16)


def _unzipped(body: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(body, MAX_PLAIN_BYTES)
    except zlib.error:
        raise ExportError("the body is said to be gzip and is not") from None
    if inflater.unconsumed_tail:
        raise _Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"more than {MAX_PLAIN_BYTES:,} bytes unzipped: export smaller batches",
        )
    if not inflater.eof:
        raise ExportError(f"the gzip body is cut after {len(body):,} bytes")
    return plain
