"""A small engine whose numbers can be worked out in the head, and arrivals for it."""

from __future__ import annotations

import dataclasses
from random import Random

import pytest

from simulator.arrivals import Arrival
from simulator.engine import Engine
from simulator.fleets import H100
from simulator.gpus import GpuMeter
from simulator.jobs import Job
from simulator.specs import EngineSpec, Policy, PoolPlan, StepLaw, build_fleet

SMALL = EngineSpec(
    model="sim-small",
    parameters=1e9,
    weights_bytes=2_000_000_000,
    kv_bytes_per_token=100_000,
    law=StepLaw(fixed_us=1000, per_sequence_us=100, per_context_token_us=1, per_prefill_token_us=10),
    block_tokens=4,
    blocks=40,
    max_sequences=8,
    token_budget=32,
    max_model_tokens=120,
)


@pytest.fixture(scope="session")
def small():
    """Return the small engine's spec."""
    return SMALL


@pytest.fixture(scope="session")
def slow():
    """Return a step law of 20 ms, slow enough for a busy machine to act between two steps."""
    return StepLaw(fixed_us=20_000, per_sequence_us=0, per_prefill_token_us=0)


@pytest.fixture(scope="session")
def make_engine():
    """Return a maker of an engine at instant 0, with any field of the small spec changed."""

    def make(**changes):
        spec = dataclasses.replace(SMALL, **changes)
        return Engine(spec, GpuMeter(spec, H100, 0), 0)

    return make


@pytest.fixture(scope="session")
def make_fleet():
    """Return a maker of one pool (`only`) of small replicas."""

    def make(replicas=1, *, policy="round_robin", **changes):
        spec = dataclasses.replace(SMALL, **changes)
        return build_fleet(
            "test", [PoolPlan(name="only", engine=spec, gpu=H100, replicas=replicas, policy=Policy(policy))]
        )

    return make


@pytest.fixture(scope="session")
def arrival():
    """Return a maker of an arrival of 10 prompt and 5 output tokens."""

    def make(number=0, *, at_us=0, prompt=10, output=5, **more):
        return Arrival(
            request_id=f"r{number}", at_us=at_us, prompt_tokens=prompt, output_tokens=output, **more
        )

    return make


@pytest.fixture(scope="session")
def submitted(arrival):
    """Return a function that submits an arrival to an engine and gives the job."""

    def submit(engine, number=0, *, now_us=0, **what):
        job = Job(arrival(number, **what), now_us)
        engine.submit(job, now_us)
        return job

    return submit


@pytest.fixture(scope="session")
def run_out():
    """Return a function that advances an engine until it has nothing to do, checking each step."""

    def run(engine, *, now_us=0, check=lambda engine: None):
        ended = list(engine.advance(now_us))
        while engine.next_us is not None:
            check(engine)
            ended += engine.advance(engine.next_us)
        return ended

    return run


@pytest.fixture(scope="session")
def random_arrivals():
    """Return a maker of `count` random arrivals in order, some impatient, some sharing prefixes."""

    def make(seed, count, *, mean_gap_us=3000):
        random = Random(seed)
        at_us, made = 0, []
        for number in range(count):
            at_us += random.randrange(2 * mean_gap_us)
            prefix = random.choice([None, "a", "b"])
            made.append(
                Arrival(
                    request_id=f"r{number}",
                    at_us=at_us,
                    prompt_tokens=random.randint(1, 100),
                    output_tokens=random.randint(1, 40),
                    prefix=prefix,
                    prefix_tokens=random.randint(0, 30) if prefix else 0,
                    patience_us=random.choice([None, None, None, random.randint(1, 60_000)]),
                )
            )
        return made

    return make
