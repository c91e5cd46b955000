"""A recording in the stores: whole or an error, told once however often it is imported."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from cost.prices import PriceBook, parse
from journal import Journal, Limits
from service.objectives.limits import limits
from service.recordings.incident import IncidentError, Incidents
from service.recordings.judging import Terms, step_of
from service.recordings.recording import Arrival, Recording
from service.recordings.sealing import Shipment
from service.writer import READER
from telemetry.frame import Frame
from telemetry.identity import Vantage
from telemetry.requests import RequestRecord, Status
from telemetry.samples import EngineSample, GpuSample
from telemetry.wire import split

START_US = 1_786_146_000_000_000
SECOND = 1_000_000
NOTHING_ASKED = Terms(None, PriceBook(()))
TABLES = ("requests", "gpu_samples", "engine_samples", "count_cells", "ledger")


def request(number, *, ttft_us=500_000, vantage=Vantage.EDGE, status=Status.OK, **more):
    """Return a request of one and a half seconds and eleven tokens."""
    start = START_US + number * SECOND
    return RequestRecord(
        request_id=f"r{number}-{vantage}", model="m", vantage=vantage, status=status, started_at_us=start,
        ended_at_us=start + 1_500_000, e2e_us=1_500_000, ttft_us=ttft_us, output_tokens=11, prompt_tokens=100, **more,
    )  # fmt: skip


def gpus(model="NVIDIA A10", seconds=60):
    """Return the samples of two GPUs, one every five seconds."""
    return tuple(
        GpuSample(at_us=START_US + at * SECOND, gpu_uuid=f"GPU-{name}", host="h", gpu_model=model)
        for at in range(0, seconds + 1, 5)
        for name in "ab"
    )


@pytest.fixture
def recording():
    """Return a minute of three requests on two GPUs."""
    return Recording(
        name="run",
        requests=tuple(request(number) for number in range(3)),
        gpu_samples=gpus(),
        window_us=(START_US, START_US + 60 * SECOND),
    )


@pytest.fixture
def incidents(facts, tmp_path):
    """Return imports over real stores."""
    with closing(
        Journal.open(tmp_path / "imports.db", Limits(ballast_bytes=0), readers=(READER,))
    ) as journal:
        yield Incidents(journal, facts)


def asked(*limit_texts, price="A10=1.10"):
    return Terms(limits(limit_texts) if limit_texts else None, PriceBook((parse(price),)))


def judged(incidents, recording, terms=NOTHING_ASKED):
    return incidents.judge(recording, terms, lambda _step: None)


def rows(facts):
    return [facts.query(f"SELECT count() AS n FROM {name}")["n"][0].as_py() for name in TABLES]


def test_the_same_recording_again_adds_no_row_and_is_answered_the_same(incidents, facts, recording):
    terms = asked("ttft=2s")
    first, held = judged(incidents, recording, terms), rows(facts)
    assert judged(incidents, recording, terms) == first
    assert rows(facts) == held == [3, 26, 0, 1, held[4]]


def test_other_limits_and_prices_judge_the_rows_that_are_there(incidents, facts, recording):
    judged(incidents, recording, asked("ttft=2s"))
    held = rows(facts)[:3]
    verdict = judged(incidents, recording, asked("ttft=400ms", price="A10=3.60"))
    assert (verdict.goodput.good, verdict.goodput.total) == (0, 3)
    assert verdict.cost.bill_nano == 120_000_000  # two GPUs, a minute, 3.60 an hour
    assert rows(facts)[:3] == held


def test_what_the_store_says_is_summed_from_its_own_ledger(incidents, facts, recording):
    cost = judged(incidents, recording, asked("ttft=2s")).cost
    stored = facts.query("SELECT sum(amount_nano) AS nano FROM ledger")["nano"][0].as_py()
    assert cost.bill_nano == stored == sum(cost.ledger_nano.values())


def test_recordings_of_one_name_and_other_rows_are_kept_apart(incidents, recording):
    judged(incidents, recording)
    other = replace(recording, requests=recording.requests[:1])
    assert judged(incidents, other).requests == 1
    assert judged(incidents, recording).requests == 3


def test_a_dataset_changed_by_hand_is_an_error_and_no_wrong_number(incidents, facts, recording):
    judged(incidents, recording)
    facts._warehouse.command(
        "ALTER TABLE requests DELETE WHERE request_id = 'r0-edge' SETTINGS mutations_sync = 2"
    )
    with pytest.raises(IncidentError, match="2 of 3 rows of requests are there"):
        judged(incidents, recording)


def test_batches_left_in_the_journal_by_a_kill_are_stored_first(facts, tmp_path, recording):
    shipment = Shipment.of(recording)
    with closing(
        Journal.open(tmp_path / "imports.db", Limits(ballast_bytes=0), readers=(READER,))
    ) as journal:
        journal.append(next(shipment.batches())).result()
    with closing(
        Journal.open(tmp_path / "imports.db", Limits(ballast_bytes=0), readers=(READER,))
    ) as journal:
        verdict = judged(Incidents(journal, facts), recording)
    assert (verdict.requests, rows(facts)[:2]) == (3, [3, 26])


def test_a_journal_that_is_full_is_emptied_into_the_store(facts, tmp_path, recording, monkeypatch):
    monkeypatch.setattr("service.recordings.sealing.BATCH_ROWS", 1)
    small = Limits(ballast_bytes=0, max_bytes=256 * 1024, max_lag_seconds=None)
    with closing(Journal.open(tmp_path / "imports.db", small, readers=(READER,))) as journal:
        verdict = judged(
            Incidents(journal, facts), replace(recording, requests=tuple(map(request, range(150))))
        )
        assert journal.stats().counts.refused > 0
    assert verdict.requests == 150


def test_one_vantage_is_counted_and_the_others_said(incidents, recording):
    twice = (*recording.requests, *(request(number, vantage=Vantage.ENGINE) for number in range(3)))
    verdict = judged(incidents, replace(recording, requests=twice), asked("ttft=2s"))
    assert (verdict.requests, verdict.goodput.total) == (3, 3)
    assert any("timed at the edge are counted" in note for note in verdict.notes)


def test_probes_of_our_own_are_no_requests(incidents, recording):
    verdict = judged(
        incidents, replace(recording, requests=(request(0), request(1, synthetic=True))), asked("ttft=2s")
    )
    assert (verdict.requests, verdict.goodput.total) == (1, 1)


def test_what_nothing_measured_is_none(incidents):
    engines = tuple(
        EngineSample(at_us=START_US + at * SECOND, replica="a", host="h", engine="vllm", model="m")
        for at in range(9)
    )
    verdict = judged(
        incidents,
        Recording(name="e", engine_samples=engines, window_us=(START_US, START_US + 9 * SECOND)),
        asked("ttft=2s"),
    )
    assert (verdict.requests, verdict.errors, verdict.ttft, verdict.goodput, verdict.cost) == (None,) * 5
    assert verdict.findings == ()


def test_requests_without_instants_have_timings_and_no_bill(incidents, recording):
    verdict = judged(incidents, replace(recording, timed=False), asked("ttft=2s"))
    assert verdict.ttft.p50 == 0.5 and verdict.cost is None
    assert any("no bill" in note for note in verdict.notes)


def test_a_price_that_fits_no_gpu_is_no_bill_of_zero(incidents, recording):
    verdict = judged(incidents, recording, asked(price="H100=2.95"))
    assert verdict.cost is None
    assert any("no price fits: GPU-a, GPU-b" in note for note in verdict.notes)


def test_a_window_of_decades_is_not_searched_cell_by_cell(incidents):
    engines = tuple(
        EngineSample(at_us=at, replica="a", host="h", engine="vllm", model="m")
        for at in (0, SECOND, 2 * SECOND, 3 * SECOND, START_US)
    )
    verdict = judged(incidents, Recording(name="odd", engine_samples=engines, window_us=(0, START_US)))
    assert verdict.findings is None and any("import a shorter span" in note for note in verdict.notes)


def test_arrivals_are_load(incidents, facts):
    verdict = judged(
        incidents, Recording(name="trace", arrivals=(Arrival(0, 10, 2), Arrival(4 * SECOND, 5, 3)))
    )
    assert (verdict.requests, verdict.errors, verdict.load.prompt_tokens, verdict.load.span_seconds) == (
        2,
        None,
        15,
        4.0,
    )
    assert rows(facts) == [0] * 5


def test_a_recording_is_sealed_the_same_every_time(recording):
    one, other = (list(Shipment.of(recording).batches()) for _ in range(2))
    assert one == other and [batch.seq for batch in one] == [0, 1]
    headers = {split(batch.body)[0].dataset for batch in one}
    assert headers == {Shipment.of(recording).dataset} and Shipment.of(recording).dataset.endswith(":run")


@pytest.mark.parametrize(("seconds", "step"), [((0,), 1), ((0, 5, 10, 30), 5), ((0, 0.2, 0.4), 1), ((), 1)])
def test_the_step_is_the_usual_time_between_samples_of_one_subject(seconds, step):
    samples = [
        EngineSample(at_us=START_US + int(at * SECOND) + shift, replica=name, host="h", engine="vllm")
        for name, shift in (("a", 0), ("b", 2 * SECOND))
        for at in seconds
    ]
    assert step_of(Frame.of("engine_samples", samples), "replica") == step * SECOND
