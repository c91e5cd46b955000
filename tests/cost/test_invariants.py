"""The invariants of WCS-1 (reference cost 2.3: I1, I3 to I11) on random fleets."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost.attribution import Window, attribute
from cost.charge import charge
from cost.classes import CostClass, InstanceState, Scope
from cost.fleet import Coefficients, Gpu, Holding, Instance, StateSpan
from cost.ledger import by_class, by_gpu, by_tenant, total
from cost.prices import Price, PriceBook, Segment
from cost.requests import Requests
from telemetry.frame import Frame
from telemetry.requests import RequestRecord, Status

END = 20_000_000
GPUS = ("GPU-a", "GPU-b", "GPU-c")
COEFFICIENTS = Coefficients(cached=5_000.0)


@st.composite
def requests(draw):
    """A request somewhere in the window (or across its edge), with any counts, or without."""
    start = draw(st.integers(-2_000_000, END))
    length = draw(st.integers(0, 6_000_000))
    count = st.none() | st.integers(0, 4_000)
    return RequestRecord(
        request_id=draw(st.text("abc|", min_size=1, max_size=4)),
        tenant=draw(st.sampled_from("xyz")),
        model="m",
        replica=draw(st.sampled_from(["r0", "r1", "gone", None])),
        pool=draw(st.sampled_from(["p", None])),
        status=draw(st.sampled_from(Status)),
        started_at_us=start,
        ended_at_us=start + length,
        e2e_us=length,
        queue_us=draw(st.none() | st.integers(0, length)),
        ttft_us=draw(st.none() | st.integers(0, length)),
        run_us=draw(st.none() | st.integers(0, length)),
        prompt_tokens=draw(count),
        cached_tokens=draw(count),
        output_tokens=draw(count),
        draft_tokens=draw(count),
        accepted_draft_tokens=draw(count),
        prefill_tokens=draw(count),
        prefill_tokens_recomputed=draw(count),
        step_share_nano=draw(st.none() | st.integers(0, 10**12)),
    )


@st.composite
def states(draw):
    """State spans with gaps: what is not covered is unobserved."""
    cuts = sorted(draw(st.lists(st.integers(-1_000_000, END + 1_000_000), max_size=6, unique=True)))
    pieces = pairwise(cuts)
    kinds = st.sampled_from([*InstanceState, InstanceState.READY, InstanceState.READY, None])
    spans = [(from_us, to_us, draw(kinds)) for from_us, to_us in pieces]
    return tuple(StateSpan(*span) for span in spans if span[2])


@st.composite
def books(draw):
    """Prices of two GPUs from some instant on, changing; the third is unpriced."""
    found = []
    for gpu in GPUS[:2]:
        instants = draw(st.lists(st.integers(0, END), min_size=1, max_size=3, unique=True))
        found += [
            Price(selector=gpu, from_us=at, nano_per_hour=draw(st.integers(0, 10**13))) for at in instants
        ]
    return PriceBook(tuple(found))


@st.composite
def fleets(draw):
    """A TP2 replica, one on part of a GPU it may share, and a pool on another part."""
    share = Fraction(draw(st.integers(1, 7)), 7)
    first = Holding(Gpu("GPU-a"))
    reference = draw(st.none() | st.integers(1, 8))
    made = [("r0", (first, Holding(Gpu("GPU-c"), Fraction(1, 2)))), ("r1", (Holding(Gpu("GPU-b"), share),))]
    fleet = [
        Instance(name=name, holdings=held, states=draw(states()), coefficients=COEFFICIENTS,
                 reference_batch=reference, model="m", pool="p")
        for name, held in made
    ]  # fmt: skip
    if share < 1:
        rest = (Holding(Gpu("GPU-b"), 1 - share),)
        fleet.append(
            Instance(name="pool p", holdings=rest, states=draw(states()), pool="p", scope=Scope.POOL)
        )
    return fleet


def bill(fleet, records, book, window=None):
    missed = np.arange(len(records)) % 3 == 0
    frame = Frame.of("requests", records)
    window = window or Window(0, END, 7_000_000)
    return attribute(fleet, Requests.of(frame, missed), prices=book, window=window, gpus=[Gpu("GPU-b")])


def charged(book, from_us=0, to_us=END):
    segments = defaultdict(list)
    for price in sorted(book.prices, key=lambda price: price.from_us):
        segments[price.selector].append(Segment(price.from_us, price.nano_per_hour))
    return {gpu: charge(each, from_us, to_us) for gpu, each in segments.items()}


@settings(max_examples=150, deadline=None)
@given(fleets(), st.lists(requests(), max_size=12), books())
def test_every_gpu_sums_to_its_charge_and_no_row_is_negative(fleet, records, book):
    ledger = bill(fleet, records, book)
    assert {gpu: nano for gpu, nano in charged(book).items() if nano} == {
        gpu: nano for gpu, nano in by_gpu(ledger.rows).items() if nano
    }
    assert all(row.nano is None or row.nano > 0 for row in ledger.rows)
    assert total(ledger.rows) == sum(by_tenant(ledger.rows).values()) == sum(by_class(ledger.rows).values())
    own = total(row for row in ledger.rows if row.tenant is not None)
    assert own == int(ledger.requests.nano.sum())


@settings(max_examples=50, deadline=None)
@given(fleets(), st.lists(requests(), max_size=8), books(), st.integers(1, END - 1))
def test_splitting_the_window_keeps_each_gpus_total(fleet, records, book, at):
    parts = [bill(fleet, records, book, window) for window in (Window(0, at), Window(at, END))]
    whole = by_gpu(bill(fleet, records, book, Window(0, END)).rows)
    assert whole == by_gpu(row for part in parts for row in part.rows)


@settings(max_examples=50, deadline=None)
@given(
    fleets(), st.lists(requests(), max_size=8, unique_by=lambda each: each.request_id), books(), st.randoms()
)
def test_order_of_requests_and_instances_changes_nothing(fleet, records, book, random):
    missed = {record.request_id for record in records[::2]}

    def billed(fleet, records):
        marks = np.array([record.request_id in missed for record in records], dtype=np.bool_)
        demand = Requests.of(Frame.of("requests", records), marks)
        return attribute(fleet, demand, prices=book, window=Window(0, END))

    first = billed(fleet, records)
    shuffled, turned = random.sample(records, len(records)), random.sample(fleet, len(fleet))
    again = billed(turned, shuffled)
    key = repr
    assert sorted(first.rows, key=key) == sorted(again.rows, key=key)
    assert first.requests.request == again.requests.request
    assert first.requests.nano.tolist() == again.requests.nano.tolist()


@settings(max_examples=50, deadline=None)
@given(fleets(), st.lists(requests(), max_size=8, unique_by=lambda each: each.request_id), books())
def test_a_replayed_batch_changes_nothing(fleet, records, book):
    one = Requests.of(Frame.of("requests", records), np.zeros(len(records), dtype=np.bool_))
    two = Requests.of(Frame.of("requests", records * 2), np.zeros(len(records) * 2, dtype=np.bool_))
    first, again = (attribute(fleet, each, prices=book, window=Window(0, END)) for each in (one, two))
    assert first.rows == again.rows


@settings(max_examples=50, deadline=None)
@given(fleets(), st.lists(requests(), max_size=8), books(), st.sampled_from([2.0**-7, 0.5, 4.0, 1024.0]))
def test_scaling_all_coefficients_changes_nothing(fleet, records, book, factor):
    known = [replace(record, queue_us=0) for record in records]
    names = Coefficients.__slots__
    scaled = [
        replace(
            each,
            coefficients=Coefficients(**{name: getattr(each.coefficients, name) * factor for name in names}),
        )
        for each in fleet
    ]
    assert bill(fleet, known, book).rows == bill(scaled, known, book).rows


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4_000), min_size=1, max_size=8), st.integers(1, 10**10))
def test_twice_the_price_is_twice_each_row_to_one_nano(make_request, counts, rate):
    records = [
        make_request(str(number), 0, 20, replica="r0", tenant=str(number), output_tokens=count)
        for number, count in enumerate(counts)
    ]
    spans = (StateSpan(0, END, InstanceState.READY),)
    fleet = [Instance(name="r0", holdings=(Holding(Gpu("GPU-a")),), states=spans)]
    once, twice = (
        bill(fleet, records, PriceBook((Price(selector="GPU-a", nano_per_hour=each),)), Window(0, END))
        for each in (180 * rate, 360 * rate)  # charges without a remainder, which would add one more
    )
    paid, doubled = (by_tenant(ledger.rows) for ledger in (once, twice))
    assert all(abs(doubled.get(tenant, 0) - 2 * paid.get(tenant, 0)) <= 1 for tenant in paid | doubled)


@pytest.fixture(scope="module")
def billed(demand, replica, a10):
    """Return a biller of requests on one A10 over ten seconds: nano-currency by request."""

    def run(*records):
        ledger = attribute([replica()], demand(records), prices=a10, window=Window(0, 10_000_000))
        paid = defaultdict(int)
        for name, nano in zip(ledger.requests.request, ledger.requests.nano.tolist(), strict=True):
            paid[name] += nano
        return dict(paid)

    return run


def test_equal_work_pays_equally_to_one_nano(billed, make_request):
    paid = billed(*(make_request(name, 1, 9) for name in "abc"))
    assert max(paid.values()) - min(paid.values()) <= 1
    assert sum(paid.values()) == charge([Segment(0, 1_100_000_000)], 1_000_000, 9_000_000)


def test_a_rejected_request_pays_nothing(billed, make_request):
    rejected = make_request(
        "no", 2, 8, status=Status.ERROR, ttft_us=None, prompt_tokens=None, output_tokens=None
    )
    assert "no" not in billed(make_request("a", 1, 9), rejected)


def test_zero_work_beside_work_pays_nothing(billed, make_request):
    idle = make_request("b", 2, 8, ttft_us=None, prompt_tokens=0, output_tokens=0)
    assert billed(make_request("a", 1, 9), idle).get("b", 0) == 0


def test_zero_work_alone_is_split_equally(billed, make_request):
    nothing = {"ttft_us": None, "prompt_tokens": 0, "output_tokens": 0}
    paid = billed(make_request("a", 2, 8, **nothing), make_request("b", 2, 8, **nothing))
    assert 0 <= paid["a"] - paid["b"] <= 1


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 3_000), st.integers(0, 3_000), st.sampled_from(["prompt_tokens", "output_tokens"]))
def test_more_tokens_never_cost_less(billed, make_request, few, more, which):
    other = make_request("z", 0, 10, output_tokens=300)
    little, much = (
        billed(make_request("a", 1, 9, **{which: count}), other)["a"] for count in (few, few + more)
    )
    assert much >= little - 3  # one nano for each piece the request is in


def test_each_way_of_ending_has_its_class(demand, replica, a10, make_request):
    records = [
        make_request("good", 0, 1),
        make_request("late", 1, 2),
        make_request("left", 2, 3, status=Status.ABORTED, output_tokens=None, ttft_us=None),
        make_request("broken", 3, 4, status=Status.ERROR),
        make_request("again", 4, 5, prefill_tokens_recomputed=50),
        make_request("drafted", 5, 6, draft_tokens=30, accepted_draft_tokens=10),
    ]
    ledger = attribute([replica()], demand(records, {"late"}), prices=a10, window=Window(0, 10_000_000))
    assert set(by_class(ledger.rows)) == {
        CostClass.USEFUL, CostClass.SLO_MISS, CostClass.WASTE_CANCEL, CostClass.WASTE_ERROR,
        CostClass.WASTE_PREEMPT, CostClass.WASTE_SPEC, CostClass.IDLE_READY,
    }  # fmt: skip


def test_headroom_spares_a_lone_request_and_keeps_the_total(demand, replica, a10, make_request):
    records = [make_request("a", 0, 10)]
    plain, spared = (
        attribute([replica(reference_batch=batch)], demand(records), prices=a10, window=Window(0, 10_000_000))
        for batch in (None, 16)
    )
    assert plain.total() == spared.total()
    assert by_class(spared.rows)[CostClass.HEADROOM] > by_class(spared.rows)[CostClass.USEFUL]


def test_waiting_in_the_queue_is_not_work(demand, replica, a10, make_request):
    records = [make_request("a", 0, 10, queue_us=None, ttft_us=9_000_000)]
    ledger = attribute([replica()], demand(records), prices=a10, window=Window(0, 10_000_000))
    assert by_class(ledger.rows)[CostClass.IDLE_READY] > 8 * 1_100_000_000 // 3_600


def test_an_answer_that_came_whole_ran_while_its_tokens_were_made(demand, replica, a10, make_request):
    records = [
        make_request("a", 0, 10, queue_us=None, ttft_us=None, stream=False, prompt_tokens=100, output_tokens=1_001)
    ]  # fmt: skip
    ledger = attribute([replica()], demand(records), prices=a10, window=Window(0, 10_000_000))
    ran_ns = 6_500_000 + 100 * 35_000 + 1_000 * 6_550_000 + (100 * 1_000 + 1_000 * 1_001 / 2) * 61
    useful = by_class(ledger.rows)[CostClass.USEFUL]
    assert useful == pytest.approx(1_100_000_000 / 3_600 * ran_ns / 1e9, rel=1e-5)


def test_an_answer_that_came_whole_never_ran_before_it_was_asked(demand, replica, a10, make_request):
    records = [make_request("a", 2, 3, queue_us=None, ttft_us=None, output_tokens=2**53 - 1)]
    ledger = attribute([replica()], demand(records), prices=a10, window=Window(0, 10_000_000))
    assert by_class(ledger.rows)[CostClass.USEFUL] == pytest.approx(1_100_000_000 / 3_600, rel=1e-5)


def test_requests_of_a_pool_are_billed_to_the_pool_and_said_so(demand, replica, a10, make_request):
    records = [make_request(name, 0, 5, replica=None) for name in "ab"]
    pool = replica("pool", ("GPU-a", "GPU-b"), scope=Scope.POOL)
    ledger = attribute([pool], demand(records), prices=a10, window=Window(0, 10_000_000))
    assert {row.scope for row in ledger.rows} == {Scope.POOL}
    assert "name no replica" in ledger.assumptions[0]
    assert by_gpu(ledger.rows) == {"GPU-a": 3_055_555, "GPU-b": 3_055_555}


def test_requests_on_no_instance_are_counted(demand, replica, a10, make_request):
    records = [make_request("a", 0, 5, replica="elsewhere")]
    ledger = attribute([replica()], demand(records), prices=a10, window=Window(0, 10_000_000))
    assert ledger.unplaced_requests == 1
    assert set(by_class(ledger.rows)) == {CostClass.IDLE_READY}


def test_unpriced_time_is_a_row_without_money(demand, replica):
    book = PriceBook((Price(selector="A10", nano_per_hour=10**9, from_us=4_000_000),))
    ledger = attribute([replica()], demand([]), prices=book, window=Window(0, 10_000_000))
    unpriced = [row for row in ledger.rows if row.klass is CostClass.UNPRICED]
    assert [(row.from_us, row.to_us, row.nano) for row in unpriced] == [(0, 4_000_000, None)]
    assert total(ledger.rows) == 6 * 10**9 // 3_600


def test_overlapping_states_are_refused(replica):
    spans = (StateSpan(0, 5, InstanceState.READY), StateSpan(4, 6, InstanceState.LOADING))
    with pytest.raises(ValueError, match="overlap"):
        replica(states=spans)


def test_more_than_a_whole_gpu_is_refused(demand, replica, a10):
    with pytest.raises(ValueError, match="more than the whole"):
        attribute([replica("r"), replica("s")], demand([]), prices=a10, window=Window(0, 10))
