"""One request inside an engine, from its arrival to the record of its end."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.arrivals import Arrival
from simulator.blocks import Prefix
from telemetry.gaps import BUCKETS
from telemetry.identity import Vantage
from telemetry.requests import Finish, InFlightRequest, RequestRecord, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """What a record says of where a request went."""

    model: str
    pool: str
    replica: str | None
    region: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How and when a request ended."""

    at_us: int
    status: Status
    finish: Finish
    http_status: int | None = 200
    error_class: str | None = None


@dataclass(slots=True, eq=False)
class Job:
    """A request's state. The engine that holds it is the only writer; instants are UTC."""

    arrival: Arrival
    arrived_us: int
    in_batch: bool = False

    # Scheduling.
    computed: int = 0
    """Tokens whose keys and values are in the cache."""
    prefill_left: int = 0
    """Tokens still to compute before the next output token; 0 = decoding (or not admitted)."""
    room: int = 0
    """Tokens that fit the blocks it holds and reads."""
    own_blocks: int = 0
    prefix: Prefix | None = None
    high_water: int = 0
    """Most tokens ever computed: what lies below is recomputed after a preemption."""

    # What the record will say.
    output: int = 0
    scheduled_us: int | None = None
    first_token_us: int | None = None
    last_token_us: int | None = None
    gap_max_us: int = 0
    gap_counts: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    cached_tokens: int | None = None
    prefill_tokens: int = 0
    recomputed_tokens: int = 0
    preemptions: int = 0
    run_us: int = 0
    steps: int = 0
    step_share_nano: int = 0
    kv_token_steps: int = 0
    end: End | None = None

    # Marks set when it is admitted, settled when it leaves the batch.
    admitted_us: int = 0
    steps_mark: int = 0
    share_mark: int = 0
    decode_mark: int = 0
    """`computed` when the current stretch of decoding began."""

    @property
    def target_tokens(self) -> int:
        """Output tokens after which it ends, by itself or cut."""
        most = self.arrival.max_output_tokens
        return self.arrival.output_tokens if most is None else min(self.arrival.output_tokens, most)

    @property
    def cut(self) -> bool:
        """Whether its end is the client's limit, not the model's."""
        most = self.arrival.max_output_tokens
        return most is not None and self.output >= most

    def decode_settled(self) -> int:
        """Return the KV token-steps of the current stretch of decoding: Σ context over its steps."""
        steps = self.computed - self.decode_mark
        return steps * self.decode_mark + steps * (steps - 1) // 2

    def record(self, asker: Asker, vantage: Vantage) -> RequestRecord:
        """Return the ended request's record. Raises `ValueError` while it has not ended."""
        end = self.end
        if end is None:
            raise ValueError(f"record of {self.arrival.request_id}: it has not ended")
        arrival = self.arrival
        ran = self.scheduled_us is not None
        return RequestRecord(
            request_id=arrival.request_id,
            tenant=arrival.tenant,
            model=asker.model,
            pool=asker.pool,
            replica=asker.replica,
            region=asker.region,
            vantage=vantage,
            status=end.status,
            finish=end.finish,
            http_status=end.http_status,
            error_class=end.error_class,
            started_at_us=self.arrived_us,
            ended_at_us=end.at_us,
            e2e_us=end.at_us - self.arrived_us,
            queue_us=_since(self.arrived_us, self.scheduled_us),
            ttft_us=_since(self.arrived_us, self.first_token_us),
            first_byte_us=_since(self.arrived_us, self.first_token_us),
            last_token_us=_since(self.arrived_us, self.last_token_us),
            prompt_tokens=arrival.prompt_tokens,
            cached_tokens=self.cached_tokens,
            output_tokens=self.output,
            max_output_tokens=arrival.max_output_tokens,
            output_empty=self.output == 0,
            gap_max_us=self.gap_max_us if self.output > 1 else None,
            gap_buckets=tuple(self.gap_counts) if self.output > 1 else (),
            chunks=self.output,
            prefill_tokens=self.prefill_tokens if ran else 0,
            prefill_tokens_recomputed=self.recomputed_tokens,
            preemptions=self.preemptions,
            run_us=self.run_us,
            steps=self.steps,
            step_share_nano=self.step_share_nano,
            kv_token_steps=self.kv_token_steps,
        )

    def in_flight(self, asker: Asker, at_us: int, vantage: Vantage) -> InFlightRequest:
        """Return how the request stands at an instant before its end."""
        return InFlightRequest(
            request_id=self.arrival.request_id,
            at_us=at_us,
            started_at_us=self.arrived_us,
            ttft_us=_since(self.arrived_us, self.first_token_us),
            output_tokens=self.output,
            tenant=self.arrival.tenant,
            model=asker.model,
            pool=asker.pool,
            replica=asker.replica,
            vantage=vantage,
        )


def _since(start_us: int, at_us: int | None) -> int | None:
    return None if at_us is None else at_us - start_us
