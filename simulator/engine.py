"""One engine that batches continuously, as vLLM's v1 scheduler does.

Every step, each running request gets something: decoding ones a token, the one being prefilled a
chunk of what the token budget leaves; then waiting requests are admitted, first come first
served, while there is budget, a free place in the batch and KV blocks for all they have so far.
A decoding request that needs a block when none is free preempts the one admitted last, which
loses its blocks, waits at the front and is computed anew.

Guarantee: the engine is a function of the calls made to it and their instants. A step takes
exactly what the step law says; held blocks never exceed capacity; no token appears while it is
frozen; the step shares of a step's requests sum to 1 within 1e-9 for each of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Final

from simulator.blocks import BlockPool
from simulator.counters import EngineCounters
from simulator.faults import FREEZING, FaultKind
from simulator.gpus import GpuMeter
from simulator.jobs import End, Job
from simulator.specs import EngineSpec
from telemetry.gaps import bucket_of
from telemetry.requests import Finish, Status
from telemetry.units import NANO

MAX_WAITING: Final = 100_000
"""Requests an engine lets wait; one more is refused with 503."""


@dataclass(slots=True, eq=False)
class Step:
    """A step under way: who decodes, who computes how much of a prompt, when it ends."""

    begin_us: int
    end_us: int
    decoding: list[Job]
    chunks: list[tuple[Job, int]]


class Engine:
    """A replica's engine. `advance` moves it; every other call happens between two steps' ends."""

    def __init__(self, spec: EngineSpec, meter: GpuMeter, at_us: int) -> None:
        self.spec = spec
        self.meter = meter
        self.epoch_us = at_us
        self.waiting: deque[Job] = deque()
        self.running: list[Job] = []
        self.pool = BlockPool(spec.blocks)
        self.counters = EngineCounters()
        self.faults: frozenset[FaultKind] = frozenset()
        self._step: Step | None = None
        self._shares_nano = 0
        """Σ over all steps of 1e9 // batch size; a request's share is what it grew meanwhile."""

    # What it is doing.

    @property
    def up(self) -> bool:
        """Whether it answers at all."""
        return FaultKind.RESTART not in self.faults

    @property
    def frozen(self) -> bool:
        """Whether steps stand still."""
        return bool(self.faults & FREEZING)

    @property
    def next_us(self) -> int | None:
        """When `advance` has something to do next; None while nothing is under way."""
        return None if self._step is None or self.frozen else self._step.end_us

    def jobs(self) -> Iterable[Job]:
        """Return every request it holds, running ones first."""
        return chain(self.running, self.waiting)

    # What is done to it.

    def submit(self, job: Job, now_us: int) -> End | None:
        """Take in a request, or return why it was refused; `advance` sets it going."""
        if not self.up or len(self.waiting) >= MAX_WAITING:
            job.end = End(
                at_us=now_us,
                status=Status.ERROR,
                finish=Finish.ERROR,
                http_status=503,
                error_class="unavailable" if not self.up else "queue_full",
            )
        elif job.arrival.prompt_tokens + job.target_tokens > self.spec.max_model_tokens:
            job.end = End(
                at_us=now_us,
                status=Status.ERROR,
                finish=Finish.ERROR,
                http_status=400,
                error_class="context_length",
            )
        else:
            self.waiting.append(job)
        return job.end

    def abort(self, job: Job, now_us: int) -> None:
        """End a request whose client has gone and free what it held; one that has ended stays so."""
        if job.end is None:
            self._drop(job, End(at_us=now_us, status=Status.ABORTED, finish=Finish.ABORT, http_status=None))

    def suffer(self, faults: frozenset[FaultKind], now_us: int) -> list[Job]:
        """Set the faults that hold from now on; return the requests that this ended."""
        before, was_frozen = self.faults, self.frozen
        self.faults = faults
        self.pool.leaking = FaultKind.KV_LEAK in faults
        if not self.pool.leaking:
            self.pool.reclaim()
        if FaultKind.RESTART in faults and FaultKind.RESTART not in before:
            return self._stop(now_us)
        if FaultKind.RESTART in before and FaultKind.RESTART not in faults:
            self.epoch_us = now_us
            self.meter.loaded = True
        if self.frozen:
            self.meter.idle(now_us)
        elif was_frozen and self._step is not None:
            self._step.end_us = max(self._step.end_us, now_us)
        return []

    def advance(self, now_us: int) -> list[Job]:
        """End every step that is over by now and begin what can begin; return the ended requests.

        A late call loses nothing: a step begins when the one before it ended.
        """
        ended: list[Job] = []
        if self.frozen or not self.up:
            return ended
        if self._step is None:
            self._begin(now_us)
        while (step := self._step) is not None and step.end_us <= now_us:
            self._complete(step, ended)
            self._begin(step.end_us)
        return ended

    # A step's begin.

    def _begin(self, now_us: int) -> None:
        chunks: list[tuple[Job, int]] = []
        preempted = self._make_room(now_us)
        prefilling = self.running[-1] if self.running and self.running[-1].prefill_left else None
        decoding = self.running[:-1] if prefilling else self.running[:]
        budget = self.spec.token_budget - len(decoding)
        if prefilling:
            budget -= self._chunk(prefilling, budget, chunks)
        if not preempted:
            self._admit_waiting(now_us, budget, chunks)
        if not decoding and not chunks:
            self._step = None
            self.meter.idle(now_us)
            return
        context = sum([job.computed for job in decoding])
        prefill = sum([tokens for _, tokens in chunks])
        step_us = self.spec.law.step_us(
            sequences=len(decoding), context_tokens=context, prefill_tokens=prefill
        )
        self._step = Step(now_us, now_us + step_us, decoding, chunks)
        self.meter.step(now_us, step_us, tokens=len(decoding) + prefill, context_tokens=context)
        self.counters.steps += 1
        self.counters.step_tokens += len(decoding) + prefill
        self._shares_nano += NANO // len(self.running)

    def _chunk(self, job: Job, budget: int, chunks: list[tuple[Job, int]]) -> int:
        tokens = min(job.prefill_left, budget)
        chunks.append((job, tokens))
        return tokens

    def _make_room(self, now_us: int) -> bool:
        """Give each decoding request a block where its blocks are full; tell whether it preempted."""
        preempted = False
        for job in [job for job in self.running if job.computed == job.room]:
            while job.in_batch and job.computed == job.room:
                if self.pool.take(1):
                    job.own_blocks += 1
                    job.room += self.spec.block_tokens
                else:
                    self._preempt(self.running[-1], now_us)
                    preempted = True
        return preempted

    def _admit_waiting(self, now_us: int, budget: int, chunks: list[tuple[Job, int]]) -> None:
        if FaultKind.WEDGE in self.faults:
            return
        while budget > 0 and self.waiting and len(self.running) < self.spec.max_sequences:
            job = self.waiting[0]
            if not self._hold_blocks(job):
                return
            self.waiting.popleft()
            self._admit(job, now_us)
            budget -= self._chunk(job, budget, chunks)

    def _hold_blocks(self, job: Job) -> bool:
        """Take the blocks of all tokens the request has so far, shared ones where cached."""
        size = self.spec.block_tokens
        blocks = -(-(job.arrival.prompt_tokens + job.output) // size)
        key = self._prefix_key(job)
        shared = self.pool.read(key) if key else None
        hit = shared.blocks if shared else 0
        if not self.pool.take(blocks - hit):
            if shared:
                self.pool.leave(shared)
            return False
        job.prefix, job.own_blocks, job.room = shared, blocks - hit, blocks * size
        job.computed = hit * size
        return True

    def _prefix_key(self, job: Job) -> tuple[str, int] | None:
        """Return the shared prefix and its whole blocks; the last prompt token is always computed."""
        arrival = job.arrival
        if arrival.prefix is None or not self.spec.prefix_caching:
            return None
        blocks = min(arrival.prefix_tokens, arrival.prompt_tokens - 1) // self.spec.block_tokens
        return (arrival.prefix, blocks) if blocks > 0 else None

    def _admit(self, job: Job, now_us: int) -> None:
        job.prefill_left = job.arrival.prompt_tokens + job.output - job.computed
        job.in_batch, job.admitted_us = True, now_us
        job.steps_mark, job.share_mark = self.counters.steps, self._shares_nano
        if job.scheduled_us is None:
            job.scheduled_us = now_us
            job.cached_tokens = job.computed
            if self.spec.prefix_caching:
                self.counters.prefix_queries += job.arrival.prompt_tokens
                self.counters.prefix_hits += job.computed
        self.running.append(job)

    # A step's end.

    def _complete(self, step: Step, ended: list[Job]) -> None:
        now_us = step.end_us
        for job, tokens in step.chunks:
            if job.in_batch:
                self._prefilled(job, tokens, now_us, ended)
        usual_us = now_us - step.begin_us
        usual_bucket = bucket_of(usual_us)
        usual = 0
        finished: list[Job] = []
        # Once for every token: nothing here but the counting itself.
        for job in step.decoding:
            if not job.in_batch:
                continue
            job.computed += 1
            if now_us - (job.last_token_us or 0) == usual_us:
                usual += 1
                job.output += 1
                job.last_token_us = now_us
                job.gap_counts[usual_bucket] += 1
                job.gap_max_us = max(job.gap_max_us, usual_us)
            else:
                self._later_token(job, now_us)
            if job.output >= job.target_tokens:
                finished.append(job)
        self.counters.itl.add(usual_us, usual)
        self.counters.generation_tokens += usual
        for job in finished:
            self._finish(job, now_us, ended)

    def _prefilled(self, job: Job, tokens: int, now_us: int, ended: list[Job]) -> None:
        """Enter a computed chunk; the last one of a prompt brings a token."""
        before = job.computed
        job.computed += tokens
        job.prefill_left -= tokens
        job.prefill_tokens += tokens
        job.recomputed_tokens += max(0, min(job.computed, job.high_water) - before)
        if job.prefill_left:
            return
        job.decode_mark = job.computed
        self._keep_prefix(job)
        if job.first_token_us is None:
            self._first_token(job, now_us)
        else:
            self._later_token(job, now_us)
        if job.output >= job.target_tokens:
            self._finish(job, now_us, ended)

    def _keep_prefix(self, job: Job) -> None:
        key = self._prefix_key(job)
        if key and job.prefix is None:
            job.prefix = self.pool.keep(key)
            if job.prefix:
                job.own_blocks -= job.prefix.blocks

    def _first_token(self, job: Job, now_us: int) -> None:
        job.first_token_us = job.last_token_us = now_us
        job.output = 1
        self.counters.generation_tokens += 1
        self.counters.prompt_tokens += job.arrival.prompt_tokens
        self.counters.cached_prompt_tokens += job.cached_tokens or 0
        self.counters.ttft.add(now_us - job.arrived_us)

    def _later_token(self, job: Job, now_us: int) -> None:
        gap_us = now_us - (job.last_token_us or 0)
        job.output += 1
        job.last_token_us = now_us
        job.gap_counts[bucket_of(gap_us)] += 1
        job.gap_max_us = max(job.gap_max_us, gap_us)
        self.counters.itl.add(gap_us)
        self.counters.generation_tokens += 1

    # Leaving.

    def _finish(self, job: Job, now_us: int, ended: list[Job]) -> None:
        finish = Finish.LENGTH if job.cut else Finish.STOP
        self._drop(job, End(at_us=now_us, status=Status.OK, finish=finish))
        self.counters.finish(
            arrived_us=job.arrived_us,
            scheduled_us=job.scheduled_us or job.arrived_us,
            first_us=job.first_token_us or now_us,
            last_us=now_us,
            tokens=job.output,
        )
        ended.append(job)

    def _preempt(self, job: Job, now_us: int) -> None:
        self._leave(job, now_us)
        job.preemptions += 1
        self.counters.preemptions += 1
        self.waiting.appendleft(job)

    def _drop(self, job: Job, end: End) -> None:
        if job.in_batch:
            self._leave(job, end.at_us)
        else:
            self.waiting.remove(job)
        job.end = end
        self.counters.finished[end.finish] += 1

    def _leave(self, job: Job, now_us: int) -> None:
        """Take a request out of the batch, settle its marks and free its blocks."""
        self.running.remove(job)
        job.run_us += now_us - job.admitted_us
        job.steps += self.counters.steps - job.steps_mark
        job.step_share_nano += self._shares_nano - job.share_mark
        if not job.prefill_left:
            job.kv_token_steps += job.decode_settled()
        self.pool.give(job.own_blocks)
        if job.prefix:
            self.pool.leave(job.prefix)
        job.high_water = max(job.high_water, job.computed)
        job.in_batch, job.prefix = False, None
        job.own_blocks = job.room = job.computed = job.prefill_left = 0

    def _stop(self, now_us: int) -> list[Job]:
        """Die with everything held; counters and cache begin anew."""
        held = list(self.jobs())
        for job in held:
            self._drop(
                job,
                End(
                    at_us=now_us,
                    status=Status.ERROR,
                    finish=Finish.ERROR,
                    http_status=502,
                    error_class="engine_restart",
                ),
            )
        self._step = None
        self.pool = BlockPool(self.spec.blocks)
        self.counters = EngineCounters()
        self.meter.idle(now_us)
        self.meter.loaded = False
        return held
