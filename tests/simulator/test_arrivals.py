"""Arrivals: generated from a seed, replayed from a file."""

from __future__ import annotations

import gzip
from itertools import pairwise

import pytest

from simulator.arrivals import Length, Surge, Tenant, Traffic, generate, merged, replay
from simulator.demo import arrivals as demo_arrivals
from simulator.errors import SpecError, TraceError
from telemetry.units import MICROS_PER_SECOND as S

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def _traffic(**changes):
    values = {
        "pool": "chat",
        "rate_per_second": 50,
        "prompt": Length(median=100, sigma=0.5, most=1000),
        "output": Length(median=50, sigma=0.5, most=200),
        "tenants": (Tenant(name="a", weight=3, prefix_tokens=40), Tenant(name="b")),
    }
    return Traffic(**(values | changes))


@pytest.fixture
def trace(tmp_path):
    """Return a writer of trace files."""

    def write(text, name="trace.csv"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


def test_a_seed_gives_the_same_arrivals_and_another_seed_others():
    first, again, other = (list(generate(_traffic(), seed=s, until_us=10 * S)) for s in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_rate_and_the_tenants_come_in_their_proportions():
    made = list(generate(_traffic(), seed=1, until_us=100 * S))
    assert len(made) == pytest.approx(5000, rel=0.05)
    assert sum(arrival.tenant == "a" for arrival in made) / len(made) == pytest.approx(0.75, abs=0.03)


def test_a_surge_multiplies_the_rate_while_it_lasts():
    surge = Surge(start_us=10 * S, end_us=20 * S, factor=4)
    made = list(generate(_traffic(surges=(surge,)), seed=1, until_us=30 * S))
    inside = [arrival for arrival in made if 10 * S <= arrival.at_us < 20 * S]
    assert len(inside) == pytest.approx(2000, rel=0.1)
    assert len(made) - len(inside) == pytest.approx(1000, rel=0.1)


def test_arrivals_are_in_order_and_lengths_within_their_bounds():
    made = list(generate(_traffic(), seed=1, until_us=20 * S))
    assert all(before.at_us <= after.at_us for before, after in pairwise(made))
    assert all(1 <= arrival.output_tokens <= 200 for arrival in made)
    assert all(arrival.prefix_tokens < arrival.prompt_tokens for arrival in made)


def test_streams_are_merged_in_order():
    made = list(demo_arrivals(seed=1, until_us=60 * S))
    assert {arrival.pool for arrival in made} == {"chat", "code"}
    assert all(before.at_us <= after.at_us for before, after in pairwise(made))
    assert list(merged([])) == []


def test_traffic_from_nobody_is_refused():
    with pytest.raises(SpecError, match="tenants"):
        _traffic(tenants=())


@pytest.mark.parametrize("name", ["trace.csv", "trace.csv.gz"])
def test_a_trace_is_replayed_from_its_first_row_on(trace, name):
    path = trace(HEADER + "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n", name)
    first, second = replay(path)
    assert (first.at_us, second.at_us) == (0, 4_314_579)
    assert (second.prompt_tokens, second.output_tokens) == (396, 109)


def test_the_later_form_with_an_offset_is_read_too(trace):
    path = trace(HEADER + "2024-05-10 00:00:00.009930+00:00,10,20\n2024-05-10 00:00:01+00:00,1,2\n")
    assert [arrival.at_us for arrival in replay(path)] == [0, 990_070]


def test_replayed_requests_are_shared_out_among_tenants_by_seed(trace):
    path = trace(HEADER + "2023-11-16 18:15:46,1,1\n" * 200)
    tenants = (Tenant(name="a"), Tenant(name="b"))
    names = [arrival.tenant for arrival in replay(path, tenants=tenants, seed=3)]
    assert set(names) == {"a", "b"}
    assert names == [arrival.tenant for arrival in replay(path, tenants=tenants, seed=3)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A,B\n1,2\n", "no column TIMESTAMP"),
        (HEADER + "yesterday,1,2\n", "line 2"),
        (HEADER + "2023-11-16 18:15:46,1,2\n2023-11-16 18:15:47,x,2\n", "line 3"),
        (HEADER + "2023-11-16 18:15:46,0,2\n", "at least 1"),
        (HEADER + "2023-11-16 18:15:46,1,2\n2023-11-16 18:15:45,1,2\n", "line 3: earlier"),
    ],
)
def test_a_bad_trace_is_refused_with_its_line(trace, text, said):
    with pytest.raises(TraceError, match=said):
        list(replay(trace(text)))


def test_a_missing_trace_is_refused(tmp_path):
    with pytest.raises(TraceError, match="readable"):
        list(replay(tmp_path / "none.csv"))
