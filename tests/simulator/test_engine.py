"""How one engine batches, step by step."""

from __future__ import annotations

import pytest

from simulator.errors import SpecError
from simulator.faults import FaultKind
from telemetry.requests import Finish, Status
from telemetry.units import NANO


def test_a_lone_request_takes_exactly_what_the_step_law_says(make_engine, submitted, run_out):
    engine = make_engine()
    job = submitted(engine, prompt=10, output=4)
    run_out(engine)
    prefill = 1000 + 10 * 10
    decode = [1000 + 100 + context for context in (10, 11, 12)]
    assert job.first_token_us == prefill
    assert job.end.at_us == prefill + sum(decode)


def test_decoding_requests_share_a_step_whose_length_grows_with_the_batch(make_engine, submitted):
    engine = make_engine()
    for number in range(3):
        submitted(engine, number, prompt=5, output=10)
    engine.advance(0)
    first_end = engine.next_us
    engine.advance(first_end)
    assert first_end == 1000 + 10 * 15
    assert engine.next_us - first_end == 1000 + 100 * 3 + 15


def test_a_prompt_beyond_the_token_budget_is_computed_in_chunks_beside_decoding(
    make_engine, submitted, run_out
):
    engine = make_engine(token_budget=32)
    early = submitted(engine, 0, prompt=5, output=10)
    engine.advance(0)
    engine.advance(engine.next_us)
    late = submitted(engine, 1, now_us=engine.next_us, prompt=60, output=2)
    run_out(engine, now_us=engine.next_us)
    # 31 tokens beside one decoding request, then the other 29: two steps to its first token.
    assert late.steps == 2 + 1
    assert early.steps == 10


def test_the_batch_cap_leaves_the_rest_waiting(make_engine, submitted):
    engine = make_engine(max_sequences=2)
    for number in range(5):
        submitted(engine, number)
    engine.advance(0)
    assert (len(engine.running), len(engine.waiting)) == (2, 3)


def test_the_step_shares_of_all_requests_sum_to_the_number_of_steps(make_engine, submitted, run_out):
    engine = make_engine()
    jobs = [submitted(engine, number, output=3 + number) for number in range(6)]
    run_out(engine)
    missing = engine.counters.steps * NANO - sum(job.step_share_nano for job in jobs)
    assert 0 <= missing <= sum(job.steps for job in jobs)


def test_kv_token_steps_are_the_contexts_read(make_engine, submitted, run_out):
    engine = make_engine()
    job = submitted(engine, prompt=10, output=4)
    run_out(engine)
    assert job.kv_token_steps == 10 + 11 + 12


def test_when_blocks_run_out_the_last_admitted_is_preempted_and_computed_anew(
    make_engine, submitted, run_out
):
    engine = make_engine(blocks=30)
    first = submitted(engine, 0, prompt=40, output=40)
    second = submitted(engine, 1, prompt=40, output=40)
    run_out(engine)
    assert (first.preemptions, second.preemptions) == (0, 1)
    assert second.output == 40
    assert second.recomputed_tokens > 40
    assert second.prefill_tokens == 40 + second.recomputed_tokens + 1


def test_gaps_and_tokens_of_a_preempted_request_are_all_counted(make_engine, submitted, run_out):
    engine = make_engine(blocks=30)
    jobs = [submitted(engine, number, prompt=40, output=40) for number in range(2)]
    run_out(engine)
    assert [sum(job.gap_counts) for job in jobs] == [39, 39]
    assert engine.counters.generation_tokens == 80
    assert engine.counters.itl.count == 78


def test_a_cached_prefix_is_not_computed_again(make_engine, submitted, run_out):
    engine = make_engine()
    shared = {"prompt": 30, "output": 2, "prefix": "system", "prefix_tokens": 20}
    first = submitted(engine, 0, **shared)
    run_out(engine)
    now_us = first.end.at_us
    second = submitted(engine, 1, now_us=now_us, **shared)
    run_out(engine, now_us=now_us)
    assert (first.cached_tokens, second.cached_tokens) == (0, 20)
    assert (first.prefill_tokens, second.prefill_tokens) == (30, 10)
    assert engine.counters.prefix_hits == 20
    assert engine.counters.prefix_queries == 60


def test_an_abort_frees_the_blocks_at_once(make_engine, submitted):
    engine = make_engine()
    job = submitted(engine, prompt=40, output=40)
    engine.advance(0)
    assert engine.pool.usage_ratio == 10 / 40
    engine.abort(job, 500)
    assert engine.pool.usage_ratio == 0
    assert (job.end.status, job.end.finish) == (Status.ABORTED, Finish.ABORT)
    engine.advance(engine.next_us)
    assert job.output == 0


def test_an_answer_cut_by_its_limit_ends_with_length_and_one_that_ends_itself_with_stop(
    make_engine, submitted, run_out
):
    engine = make_engine()
    cut = submitted(engine, 0, output=30, max_output_tokens=5)
    whole = submitted(engine, 1, output=5, max_output_tokens=30)
    run_out(engine)
    assert (cut.end.finish, cut.output) == (Finish.LENGTH, 5)
    assert (whole.end.finish, whole.output) == (Finish.STOP, 5)


def test_a_request_that_can_never_fit_is_refused_at_the_door(make_engine, submitted):
    job = submitted(make_engine(), prompt=100, output=100)
    assert (job.end.http_status, job.end.error_class) == (400, "context_length")


def test_a_late_caller_sees_the_same_instants_as_a_punctual_one(make_engine, submitted, run_out):
    punctual, late = make_engine(), make_engine()
    jobs = [submitted(engine, output=20) for engine in (punctual, late)]
    run_out(punctual)
    late.advance(0)
    late.advance(10_000_000)
    assert jobs[0].end.at_us == jobs[1].end.at_us


def test_an_engine_that_could_stop_for_ever_by_construction_is_refused(make_engine):
    with pytest.raises(SpecError, match="token_budget"):
        make_engine(token_budget=8)
    with pytest.raises(SpecError, match="max_model_tokens"):
        make_engine(max_model_tokens=161)


def test_a_restart_ends_what_was_held_and_begins_its_counters_anew(make_engine, submitted):
    engine = make_engine()
    jobs = [submitted(engine, number) for number in range(12)]
    engine.advance(0)
    engine.advance(engine.next_us)
    ended = engine.suffer(frozenset({FaultKind.RESTART}), 5000)
    assert {id(job) for job in ended} == {id(job) for job in jobs}
    assert {job.end.error_class for job in jobs} == {"engine_restart"}
    assert engine.counters.generation_tokens == 0
    assert engine.pool.usage_ratio == 0
    assert not engine.up
    engine.suffer(frozenset(), 9000)
    assert (engine.up, engine.epoch_us) == (True, 9000)
