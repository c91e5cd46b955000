"""One measured request from its first byte to its record.

Instants are whole microseconds: `started_at_us` UTC, everything else monotonic. The end's UTC
is the start's plus the measured duration, so that a stepped clock bends no record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final
from zlib import crc32

from collector.requests.answers import EngineTimes, Usage
from collector.requests.asked import UNREAD, Asked, read_asked, with_usage
from collector.requests.callers import Caller
from collector.requests.settings import TimingSettings
from collector.requests.stamps import AnswerMeter
from telemetry.identity import Vantage
from telemetry.requests import Finish, InFlightRequest, RequestRecord, Status, TokenGaps
from telemetry.units import micros

MEASURED: Final = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
"""Ends of the paths whose POSTs are measured."""
WITH_USAGE: Final = MEASURED[:2]
"""Those of them that can be asked for a usage chunk."""
UNKNOWN_MODEL: Final = "__unknown__"
"""The model of a request whose body could not be read."""

Admit = Callable[[str, int | None], str]
"""Bounds model names: takes a name and the HTTP status it was answered with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a request ended. `error_class` is a word to group by, None when all went well."""

    status: Status
    finish: Finish | None = None
    error_class: str | None = None


ABORTED: Final = Ending(status=Status.ABORTED, finish=Finish.ABORT, error_class="client_gone")


def failed(error_class: str) -> Ending:
    """Return the ending of a request that failed for the reason named."""
    return Ending(status=Status.ERROR, finish=Finish.ERROR, error_class=error_class)


@dataclass(slots=True, kw_only=True)
class Exchange:
    """A request under way; changed by the one task that serves it."""

    caller: Caller
    route: str | None
    """The measured path it was sent to; None for any other, which gives no record."""
    started_at_us: int
    started_us: int
    settings: TimingSettings
    vantage: Vantage
    admit: Admit
    asked: Asked = UNREAD
    replica: str | None = None
    http_status: int | None = None
    streamed: bool | None = None
    """Whether the answer came as events; None before there is one."""
    usage_added: bool = False
    """Whether upstream was asked for a usage chunk that the client did not ask for."""
    meter: AnswerMeter = field(default_factory=AnswerMeter)

    @property
    def measured(self) -> bool:
        """Whether it gives a record."""
        return self.route is not None

    def ask(self, body: bytes) -> bytes:
        """Note what the request's body asks for; return the body to send on, asking for usage besides."""
        self.asked = asked = read_asked(body)
        wanted = self.settings.include_usage and self.route in WITH_USAGE
        asking = with_usage(body, asked) if wanted and asked.stream and not asked.usage else None
        self.usage_added = asking is not None
        return asking or body

    def ending(self) -> Ending:
        """Return how a request whose answer arrived to its end has ended."""
        meter = self.meter
        if self.http_status is not None and self.http_status >= 400:
            return failed(f"http_{self.http_status}")
        if meter.error:
            return failed(meter.error)
        if meter.finish in (Finish.ABORT, Finish.ERROR):
            return failed(f"finish_{meter.finish}")
        if self.streamed and not meter.complete(self.asked.choices):
            return failed("stream_cut")
        return Ending(status=Status.OK, finish=meter.finish)

    def left(self) -> Ending:
        """Return the ending of a request whose client has gone: fine if it had everything."""
        return self.ending() if self.meter.complete(self.asked.choices) else ABORTED

    def record(self, ending: Ending, now_us: int) -> RequestRecord:
        """Return the record. A whole answer ends with its last byte, any other now."""
        meter = self.meter
        ended_us = (
            now_us if meter.last_byte_us is None or ending.status is not Status.OK else meter.last_byte_us
        )
        e2e_us = max(0, ended_us - self.started_us)
        plain = RequestRecord(
            request_id=self.caller.request_id,
            tenant=self.caller.tenant,
            synthetic=self.caller.synthetic,
            priority=self.asked.priority,
            model=self._model(),
            pool=self.settings.pool,
            replica=self.replica,
            route=self.route,
            region=self.settings.region,
            vantage=self.vantage,
            status=ending.status,
            finish=ending.finish,
            http_status=self.http_status,
            error_class=ending.error_class,
            retry=self.caller.retry,
            retry_of=self.caller.retry_of,
            started_at_us=self.started_at_us,
            ended_at_us=self.started_at_us + e2e_us,
            e2e_us=e2e_us,
            first_byte_us=self._since(meter.first_byte_us),
            max_output_tokens=self.asked.max_output_tokens,
            choices=self.asked.choices,
            stream=self.asked.stream if self.streamed is None else self.streamed,
        )
        return self._with_answer(plain)

    def _with_answer(self, plain: RequestRecord) -> RequestRecord:
        meter = self.meter
        usage = meter.usage or Usage()
        times = meter.times or EngineTimes()
        record = replace(
            plain,
            queue_us=times.queue_us,
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            draft_tokens=times.draft_tokens,
            accepted_draft_tokens=times.accepted_draft_tokens,
            prefill_tokens=times.prefill_tokens,
            tool_calls=meter.tool_calls if meter.readable else None,
            output_empty=meter.chunks == 0 if meter.readable else None,
        )
        return self._with_gaps(record) if self.streamed else record

    def _with_gaps(self, record: RequestRecord) -> RequestRecord:
        meter = self.meter
        estimated = record.output_tokens is None
        return replace(
            record,
            ttft_us=self._since(meter.first_content_us),
            last_token_us=self._since(meter.last_content_us),
            output_tokens=meter.chunks if estimated else record.output_tokens,
            tokens_estimated=estimated,
            gap_max_us=meter.gap_max_us,
            gap_buckets=tuple(meter.gap_buckets),
            chunks=meter.chunks,
        )

    def gaps(self, record: RequestRecord) -> TokenGaps | None:
        """Return the whole gaps of a failed, slow or sampled request; None for any other, and for a probe.

        Also None where there are no gaps, or more than one record holds.
        """
        gaps_us = self.meter.gaps_us
        if not gaps_us or record.synthetic or not self._is_kept(record):
            return None
        return TokenGaps(
            request_id=record.request_id,
            ended_at_us=record.ended_at_us,
            model=record.model,
            replica=record.replica,
            ttft_us=record.ttft_us,
            gaps_us=gaps_us,
        )

    def _is_kept(self, record: RequestRecord) -> bool:
        slowest_us = max(record.ttft_us or 0, record.gap_max_us or 0)
        if record.status is not Status.OK or slowest_us > micros(self.settings.slow_seconds):
            return True
        # By the id, so that every vantage keeps the same requests.
        return crc32(record.request_id.encode()) < self.settings.sample_ratio * 2**32

    def snapshot(self, now_us: int) -> InFlightRequest:
        """Return the request as it stands while it runs."""
        usage = self.meter.usage
        counted = self.meter.chunks if usage is None else usage.output_tokens
        return InFlightRequest(
            request_id=self.caller.request_id,
            at_us=self.started_at_us + now_us - self.started_us,
            started_at_us=self.started_at_us,
            ttft_us=self._since(self.meter.first_content_us),
            output_tokens=counted,
            max_output_tokens=self.asked.max_output_tokens,
            stream=self.asked.stream if self.streamed is None else self.streamed,
            tenant=self.caller.tenant,
            model=self._model(),
            pool=self.settings.pool,
            replica=self.replica,
            route=self.route,
            vantage=self.vantage,
            synthetic=self.caller.synthetic,
        )

    def _model(self) -> str:
        if self.settings.model is not None:
            return self.settings.model
        return self.admit(self.asked.model, self.http_status) if self.asked.model else UNKNOWN_MODEL

    def _since(self, at_us: int | None) -> int | None:
        return None if at_us is None else at_us - self.started_us
