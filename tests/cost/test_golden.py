from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction

import pytest

from cost.attribution import Window, attribute
from cost.classes import CostClass, InstanceState
from cost.demand import WeighedWork, Work
from cost.fleet import Gpu, Holding, StateSpan
from cost.ledger import by_class, by_gpu, total
from cost.prices import Price, PriceBook

STATES = {
    "overhead.load": InstanceState.LOADING,
    "overhead.warmup": InstanceState.WARMING,
    "idle.ready": InstanceState.READY,
    "busy": InstanceState.READY,
    "unobserved": InstanceState.UNOBSERVED,
}

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "fixtures/cost/golden_wcs1.json").read_text())


@pytest.fixture(scope="module")
def ledger(golden, replica):
    """Bill the golden case: one TP2 instance until it gives its GPUs back at 50 s."""
    prices = [
        Price(selector=gpu, from_us=from_us, nano_per_hour=rate)
        for gpu, segments in golden["prices"].items()
        for from_us, rate in segments
    ]
    held = [each for each in golden["intervals"] if each["state"] in STATES]
    released = next(each for each in golden["intervals"] if each["state"] == "idle.unallocated")
    work = [
        Work(instance="tp2", from_us=each["t0"], to_us=each["t1"], request=key.split("|")[0],
             tenant="t", model="m", klass=CostClass(key.split("|")[1]), weight_ns=weight)
        for each in held for key, weight in (each["work"] or {}).items()
    ]  # fmt: skip
    states = tuple(StateSpan(each["t0"], each["t1"], STATES[each["state"]]) for each in held)
    gpus = tuple(Holding(Gpu(gpu)) for gpu in golden["prices"])
    book = PriceBook(tuple(prices))
    first = attribute(
        [replica("tp2", gpus, states)], WeighedWork(tuple(work)), prices=book,
        window=Window(0, released["t0"]),
    )  # fmt: skip
    after = attribute(
        [], WeighedWork(()), prices=book, window=Window(released["t0"], released["t1"]),
        gpus=[each.gpu for each in gpus],
    )  # fmt: skip
    return first, after


def test_all_eleven_numbers_are_exact(golden, ledger):
    first, after = ledger
    billed = Counter({f"{request}|{klass}": int(nano) for request, klass, nano in
                      zip(first.requests.request, first.requests.klass, first.requests.nano, strict=True)})  # fmt: skip
    others = (row for row in (*first.rows, *after.rows) if row.tenant is None)
    billed.update({klass.value: nano for klass, nano in by_class(others).items()})
    assert dict(billed) == golden["ledger"]


def test_total_is_exact_and_each_gpu_pays_half(golden, ledger):
    rows = [row for each in ledger for row in each.rows]
    assert total(rows) == golden["total"]
    assert set(by_gpu(rows).values()) == {golden["total"] // 2}


def test_shared_gpu_is_divided_by_shares(replica, golden):
    gpu = Gpu("GPU-a")
    thirds = [replica(name, (Holding(gpu, Fraction(3, 7)),), ()) for name in ("x", "y")]
    book = PriceBook((Price(selector="GPU-a", nano_per_hour=3_600_000_007),))
    ledger = attribute(thirds, WeighedWork(()), prices=book, window=Window(0, 1_000_000))
    assert by_class(ledger.rows) == {
        CostClass.IDLE_UNALLOCATED: 142_857, CostClass.UNOBSERVED: 857_143,
    }  # fmt: skip
