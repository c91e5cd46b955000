"""One document of objectives, to be bent by the tests; facts of every table, at random."""

from __future__ import annotations

import pytest

from journal import Journal, Limits, Sealed
from service import clock
from service.counting.fold import READER as FOLD
from service.objectives.files import parse
from service.objectives.mistakes import ObjectiveFileError
from service.writer import READER as STORE
from telemetry.gaps import bucket_counts
from telemetry.identity import Vantage
from telemetry.requests import Finish, RequestRecord, Status, TokenGaps
from telemetry.samples import EngineSample, GpuSample
from telemetry.wire import BatchHeader, encode

MINUTE = 60_000_000
NOW_US = clock.now_us() // MINUTE * MINUTE

CHAT = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: chat-ttft
  displayName: TTFT
spec:
  service: chat
  indicator:
    spec:
      thresholdMetric:
        metricSource:
          type: inferometer
          spec:
            indicator: ttft
            limit: 2s
            pool: chat
            group_by: [model, tenant]
  timeWindow:
    - duration: 30d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - target: 0.99
"""


@pytest.fixture
def chat():
    return CHAT


@pytest.fixture
def mistakes_of():
    """Return the mistakes of a text as (line, column, cause, hint)."""

    def read(text):
        with pytest.raises(ObjectiveFileError) as refused:
            parse(text, "slo.yaml")
        return [
            (each.place.line, each.place.column, each.cause, each.hint) for each in refused.value.mistakes
        ]

    return read


def maybe(chance, value, share=0.8):
    return value if chance.random() < share else None


def request(chance, number):
    status = chance.choices(list(Status), (7, 2, 2))[0]
    e2e_us = chance.choice([chance.randrange(12_000_000), 8_000_000, 3_000_000])
    ttft_us = maybe(chance, chance.choice([chance.randrange(4_000_000), 2_000_000]), 0.75)
    gaps = [chance.choice([chance.randrange(300_000), 64_000, 100_000]) for _ in range(chance.randrange(6))]
    probe = chance.random() < 0.3
    return RequestRecord(
        request_id=f"r{number}",
        model=chance.choice(["llama", "qwen"]),
        workload=chance.choice([None, "chat", "determinism"]) if probe else None,
        vantage=chance.choices([Vantage.EDGE, Vantage.ENGINE], (9, 1))[0],
        synthetic=probe,
        status=status,
        finish=maybe(chance, chance.choice(list(Finish))),
        http_status=chance.choice([None, 200, 404, 408, 429, 500]) if status is Status.ERROR else 200,
        error_class=chance.choice([None, "other_answer", "timeout"]) if probe else None,
        retry=chance.choice([0, 0, 0, 1, 2]),
        started_at_us=NOW_US,
        ended_at_us=NOW_US - chance.randrange(9 * MINUTE),
        e2e_us=e2e_us if ttft_us is None else max(e2e_us, ttft_us),
        queue_us=maybe(chance, chance.choice([chance.randrange(900_000), 500_000])),
        ttft_us=ttft_us,
        dependency_us=maybe(chance, chance.randrange(600_000)),
        tool_call_us=maybe(chance, chance.randrange(600_000)),
        prompt_tokens=maybe(chance, chance.choice([0, 1, chance.randrange(3_000)])),
        cached_tokens=maybe(chance, chance.randrange(2_000)),
        output_tokens=maybe(chance, chance.choice([0, 1, 2, chance.randrange(200)])),
        tool_calls=maybe(chance, chance.choice([0, 0, 1])),
        output_empty=maybe(chance, chance.random() < 0.2),
        stream=chance.random() < 0.8,
        gap_max_us=maybe(chance, max(gaps)) if gaps else None,
        gap_buckets=bucket_counts(gaps) if chance.random() < 0.9 else (),
    )


def whole_gaps(chance, number):
    return TokenGaps(
        request_id=f"r{number}",
        ended_at_us=NOW_US - chance.randrange(9 * MINUTE),
        model=chance.choice(["llama", "qwen"]),
        ttft_us=maybe(chance, chance.choice([chance.randrange(3_000_000), 1_000_000])),
        gaps_us=tuple(chance.choice([chance.randrange(90_000), 60_000, 400_000]) for _ in range(chance.randrange(40))),
    )  # fmt: skip


def gpu_sample(chance, number):
    up = chance.random() < 0.8
    return GpuSample(
        at_us=NOW_US - chance.randrange(9 * MINUTE),
        gpu_uuid=f"GPU-{number % 3}",
        host="h",
        gpu_model=chance.choice([None, "H100"]),
        up=up,
        power_watts=maybe(chance, chance.choice([250.0, chance.uniform(200, 300)])) if up else None,
    )


def engine_sample(chance, number):
    up = chance.random() < 0.8
    return EngineSample(
        at_us=NOW_US - chance.randrange(9 * MINUTE),
        replica=f"h:{number % 3}",
        host="h",
        engine="vllm",
        model=chance.choice(["llama", None]),
        vantage=chance.choices([Vantage.ENGINE, Vantage.EDGE], (8, 2))[0],
        up=up,
        requests_waiting=maybe(chance, chance.randrange(8)) if up else None,
    )


@pytest.fixture(scope="session")
def history_of():
    """Return what 12 batches before `NOW_US` told, by table, from a source of chance."""

    def make(chance):
        makers = {
            "requests": request, "token_gaps": whole_gaps, "gpu_samples": gpu_sample, "engine_samples": engine_sample,
        }  # fmt: skip
        return [
            {
                table: [maker(chance, batch * 100 + at) for at in range(chance.randrange(1, 40))]
                for table, maker in makers.items()
                if chance.random() < 0.9
            }
            for batch in range(12)
        ]

    return make


@pytest.fixture
def journal_of(tmp_path):
    """Return a journal that holds batches, one entry each."""
    limits = Limits(ballast_bytes=0, group_delay_seconds=0)
    journal = Journal.open(tmp_path / "journal.db", limits, readers=(STORE, FOLD))

    def make(batches):
        for seq, tables in enumerate(batches):
            header = BatchHeader(boot="b", seq=seq, sealed_at_us=NOW_US + seq, host="h")
            body = encode(header, tables)
            journal.append(Sealed(agent="a", boot="b", seq=seq, received_at_us=NOW_US, body=body)).result()
        return journal

    yield make
    journal.close()


@pytest.fixture(scope="session")
def now_us():
    """Return the minute that begins when everything has happened."""
    return NOW_US
