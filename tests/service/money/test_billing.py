"""The live ledger, through real stores: intervals one after the other, complete, each once."""

from __future__ import annotations

import time

import pyarrow as pa
import pytest

from cost.prices import Price
from service.fleet.seen import Agent
from service.ingest.decode import decode
from service.money.billing import CLOSED, SILENT_AGENT_US, Billing, Rules, Sources
from service.store.errors import StoreUnavailable
from telemetry.columns import TABLE_OF
from telemetry.placement import Placement
from telemetry.samples import EngineSample, GpuSample
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MINUTE
from telemetry.units import MICROS_PER_SECOND as S
from telemetry.wire import BatchHeader, encode

T0 = (time.time_ns() // 1_000 - 2 * MICROS_PER_HOUR) // MICROS_PER_MINUTE * MICROS_PER_MINUTE
"""Lately: what was received long ago is past its retention, and stores forget it."""
MINUTE, LAG = MICROS_PER_MINUTE, 75 * S
PER_HOUR = 1_200_000_000
RULES = Rules(interval_us=MINUTE, lag_us=LAG, currency="USD")


class Fleet:
    """Real stores, a journal's two edges, one agent, and time that moves when told to."""

    def __init__(self, facts, state):
        self.facts, self.state, self.now, self.blocks = facts, state, T0, 0
        self.head_, self.stored_ = 7, 7
        self.agent = Agent(
            name="a", host="h", boot="b", software="s", seen_us=T0, sealed_us=T0, back_us=T0 - LAG
        )
        state.prices.add([Price(selector="A10", nano_per_hour=PER_HOUR)], "USD", now_us=1)

    def head(self):
        return self.head_

    def cursor(self, _reader):
        return self.stored_

    def billing(self):
        sources = Sources(
            facts=self.facts,
            state=self.state,
            journal=self,
            agents=lambda: [self.agent],
            of_record=lambda rows: rows,
        )
        return Billing(sources, RULES, objectives=tuple, clock=lambda: self.now)

    def store(self, *records):
        """Store facts as the writer does."""
        self.blocks += 1
        header = BatchHeader(boot="b", seq=self.blocks, sealed_at_us=T0, host="h")
        tables = {}
        for record in records:
            tables.setdefault(TABLE_OF[type(record)].name, []).append(record)
        envelope = {"agent": "a", "boot": "b", "seq": self.blocks, "block": self.blocks, "received_at_us": T0}
        envelope |= {"origin": "live", "dataset": ""}
        for name, rows in decode(encode(header, tables)).tables.items():
            columns = {each: rows[each] for each in rows.column_names}
            columns |= {each: [value] * rows.num_rows for each, value in envelope.items()}
            self.facts.insert_block(self.blocks, {name: pa.table(columns)})

    def minutes(self, count, uuid="GPU-1", model="NVIDIA A10"):
        """Store `count` minutes of samples, once in ten seconds."""
        times = range(T0, T0 + count * MINUTE, 10 * S)
        self.store(*(GpuSample(at_us=at, gpu_uuid=uuid, host="h", gpu_model=model) for at in times))

    def pass_to(self, at_us):
        self.now = at_us
        self.agent = Agent(
            name="a", host="h", boot="b", software="s", seen_us=at_us, sealed_us=at_us, back_us=T0 - LAG
        )

    def sums(self, billing, by=("class",)):
        found = self.facts.ledger.sums(billing.version, from_us=0, to_us=2**62, by=by)
        return {each.key[0] if len(by) == 1 else each.key: each.amount_nano for each in found}


@pytest.fixture
def fleet(facts, kept):
    return Fleet(facts, kept)


def close_all(billing):
    while billing.step():
        pass


def test_intervals_are_contiguous_and_each_sums_to_its_charge(fleet):
    fleet.minutes(3)
    billing = fleet.billing()
    fleet.pass_to(T0 + 3 * MINUTE + LAG)
    close_all(billing)
    starts = fleet.sums(billing, ("interval_start_us",))
    assert sorted(starts) == [T0, T0 + MINUTE, T0 + 2 * MINUTE]
    assert sum(starts.values()) == PER_HOUR * 3 // 60
    assert billing.step() is False


def test_nothing_is_billed_before_the_first_gpu(fleet):
    billing = fleet.billing()
    fleet.pass_to(T0 + 9 * MINUTE)
    assert billing.step() is False and fleet.state.notes.get(CLOSED) is None


def test_a_crash_between_the_write_and_the_note_bills_the_interval_once(fleet, monkeypatch):
    fleet.minutes(1)
    billing = fleet.billing()
    fleet.pass_to(T0 + MINUTE + LAG)

    def cut(_values):
        raise StoreUnavailable("killed here")

    monkeypatch.setattr(fleet.state.notes, "set", cut)
    with pytest.raises(StoreUnavailable):
        billing.step()
    monkeypatch.undo()
    before = fleet.sums(billing)
    fleet.now += S
    again = fleet.billing()
    close_all(again)
    assert fleet.sums(again) == before and sum(before.values()) == PER_HOUR // 60


def test_a_gpu_that_falls_silent_is_billed_as_unobserved_until_it_is_retired(fleet):
    fleet.minutes(1)
    billing = fleet.billing()
    fleet.pass_to(T0 + 3 * MINUTE + LAG)
    close_all(billing)
    assert fleet.sums(billing) == {
        "idle.unallocated": PER_HOUR // 60,
        "unobserved": PER_HOUR * 3 // 60 - PER_HOUR // 60,
    }
    fleet.state.fleet.retire("GPU-1", now_us=fleet.now)
    total = sum(fleet.sums(billing).values())
    fleet.pass_to(T0 + 5 * MINUTE + LAG)
    close_all(billing)
    assert sum(fleet.sums(billing).values()) == total


def test_a_gpu_without_a_price_is_unpriced(fleet):
    fleet.minutes(1, model="NVIDIA H100")
    billing = fleet.billing()
    fleet.pass_to(T0 + MINUTE + LAG)
    close_all(billing)
    (found,) = fleet.facts.ledger.sums(billing.version, from_us=0, to_us=2**62)
    assert (found.key, found.amount_nano, found.unpriced_rows) == (("unpriced",), 0, 1)


def test_a_placement_told_minutes_ago_still_holds(fleet):
    fleet.minutes(1)
    fleet.store(Placement(at_us=T0 - 4 * MINUTE, replica="r", gpu_uuid="GPU-1", host="h", pool="p"))
    times = range(T0, T0 + MINUTE, 5 * S)
    fleet.store(*(EngineSample(at_us=at, replica="r", host="h", engine="vllm") for at in times))
    billing = fleet.billing()
    fleet.pass_to(T0 + MINUTE + LAG)
    close_all(billing)
    assert fleet.sums(billing, ("class", "replica")) == {("idle.ready", "r"): PER_HOUR // 60}


def test_an_interval_waits_until_its_agent_has_sealed_what_comes_after_it(fleet):
    fleet.minutes(1)
    billing = fleet.billing()
    fleet.now = T0 + MINUTE + LAG
    assert billing.step() is False, "the agent was last heard at the beginning"
    fleet.pass_to(fleet.now)
    assert billing.step() is True


def test_an_interval_waits_until_what_was_told_is_stored(fleet):
    fleet.minutes(1)
    billing = fleet.billing()
    fleet.pass_to(T0 + MINUTE + LAG)
    fleet.head_ = 9
    assert billing.step() is False
    fleet.head_, fleet.stored_ = 12, 9
    assert billing.step() is True, "what came after all had told need not be waited for"


def test_an_agent_back_from_an_outage_has_time_to_send_its_backlog(fleet):
    fleet.minutes(1)
    billing = fleet.billing()
    fleet.pass_to(T0 + MINUTE + LAG)
    fleet.agent = Agent(
        name="a",
        host="h",
        boot="b",
        software="s",
        seen_us=fleet.now,
        sealed_us=fleet.now,
        back_us=fleet.now - S,
    )
    assert billing.step() is False
    fleet.now += LAG
    assert billing.step() is True


def test_a_dead_agent_holds_no_interval_for_long(fleet):
    fleet.minutes(1)
    billing = fleet.billing()
    fleet.now = T0 + SILENT_AGENT_US
    assert billing.step() is True


def test_nothing_holds_an_interval_for_more_than_an_hour(fleet):
    fleet.minutes(1)
    billing = fleet.billing()
    fleet.pass_to(T0 + MINUTE + MICROS_PER_HOUR + S)
    fleet.head_ = 9
    assert billing.step() is True


def test_what_each_gpu_costs_an_hour_is_asked_of_the_book(fleet):
    fleet.minutes(1)
    fleet.minutes(1, uuid="GPU-2", model="NVIDIA H100")
    samples = fleet.facts.frame("gpu_samples", from_us=0, to_us=2**62)
    assert fleet.billing().hourly(samples) == {"GPU-1": PER_HOUR}
