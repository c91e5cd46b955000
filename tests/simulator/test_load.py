"""The load generator's own account of what it played, against the real simulator."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from itertools import pairwise

import aiohttp
import pytest

from simulator.demo import FAULTS, play_demo, surges, traffic
from simulator.errors import SimulatorError
from simulator.faults import FaultKind
from simulator.fleets import demo_fleet
from simulator.load import Limits, Outcome, Target, play
from simulator.server import serving
from simulator.world import simulate
from telemetry.units import MICROS_PER_SECOND as S


@pytest.fixture
def playing(make_fleet):
    """Return a runner of a coroutine `(live, targets)` against a served fleet of small replicas."""

    def run(act, **changes):
        async def within():
            async with serving(make_fleet(2, **changes)) as live:
                urls = tuple(f"http://127.0.0.1:{place.port}" for _, place in live.fleet.replicas())
                return await act(live, {"only": Target(model="sim-small", urls=urls)})

        return asyncio.run(asyncio.wait_for(within(), 30))

    return run


def test_every_arrival_is_accounted_for_with_the_tokens_it_asked_for(playing, random_arrivals):
    arrivals = [
        dataclasses.replace(a, output_tokens=min(a.output_tokens, 15)) for a in random_arrivals(1, 60)
    ]

    async def act(live, targets):
        played = []
        report = await play(arrivals, targets, told=played.append)
        return report, played, live

    report, played, live = playing(act)
    wanted = {arrival.request_id: arrival for arrival in arrivals}
    assert {one.request_id for one in played} == set(wanted)
    assert sum(report.counts.values()) == 60
    finished = [one for one in played if one.outcome is Outcome.OK]
    assert finished
    for one in finished:
        assert one.chunks == one.output_tokens == wanted[one.request_id].output_tokens
        assert one.prompt_tokens == wanted[one.request_id].prompt_tokens
        assert 0 < one.ttft_us <= one.e2e_us
    assert all(replica.engine.counters.steps for replica in live.cluster.replicas)
    assert sum(replica.engine.counters.prefix_hits for replica in live.cluster.replicas) > 0


def test_requests_cut_by_a_death_are_listed_by_name(playing, arrival, slow):
    arrivals = [arrival(number, prompt=5, output=50) for number in range(4)]

    async def act(live, targets):
        task = asyncio.create_task(play(arrivals, targets))
        deadline = time.monotonic() + 5
        while not all(len(replica.engine.running) == 2 for replica in live.cluster.replicas):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)
        target = targets["only"].urls[0]
        async with aiohttp.ClientSession() as session:
            await session.post(
                f"{target}/simulated/fault", json={"kind": "restart", "replica": "only-0", "for_s": 9}
            )
        return await task

    report = playing(act, law=slow)
    assert report.counts == {Outcome.OK: 2, Outcome.CUT: 2}
    assert {one.request_id for one in report.not_ok} == {"r0", "r2"}
    assert report.not_named == 0


def test_nobody_at_the_url_is_a_cut_request_not_a_crash(arrival):
    targets = {"only": Target(model="m", urls=("http://127.0.0.1:9",))}
    report = asyncio.run(play([arrival()], targets))
    assert report.counts == {Outcome.CUT: 1}
    assert "ClientConnectorError" in report.not_ok[0].error


def test_past_its_limits_it_sheds_and_says_so(playing, arrival, slow):
    arrivals = [arrival(number, output=20) for number in range(20)]

    async def act(live, targets):
        return await play(arrivals, targets, limits=Limits(max_in_flight=5, max_requests=15, remembered=4))

    report = playing(act, law=slow)
    assert report.counts == {Outcome.OK: 5, Outcome.SHED: 10}
    assert (len(report.not_ok), report.not_named) == (4, 6)


def test_an_impatient_client_hangs_up(playing, arrival, slow):
    async def act(live, targets):
        return await play([arrival(prompt=5, output=110, patience_us=200_000)], targets)

    assert playing(act, law=slow).counts == {Outcome.HUNG_UP: 1}


def test_the_demo_refuses_to_begin_without_a_simulator():
    with pytest.raises(SimulatorError, match="is the simulator running"):
        asyncio.run(play_demo({}, "http://127.0.0.1:9", seconds=1))


@pytest.fixture(scope="module")
def demo_run():
    """Return the demo's first two minutes on the virtual clock."""
    from simulator.demo import arrivals

    return simulate(demo_fleet(), arrivals(seed=1, until_us=120 * S), until_us=150 * S, faults=FAULTS)


def _between(run, pool, start, end):
    return [row for row in run.engines if row.pool == pool and start * S <= row.at_us <= end * S]


def test_the_demo_is_healthy_at_first(demo_run):
    first = _between(demo_run, "chat", 1, 15) + _between(demo_run, "code", 1, 20)
    assert max(row.kv_usage_ratio for row in first) < 0.6
    assert sum(row.requests_waiting > 0 for row in first) < len(first) / 10


def test_the_demo_shows_its_wedge_and_its_overload_well_within_a_minute(demo_run):
    wedged = [row for row in _between(demo_run, "chat", 30, 60) if row.replica == "sim-host:9001"]
    assert all(row.requests_running == 0 and row.requests_waiting > 0 for row in wedged)
    loaded = _between(demo_run, "code", 40, 60)
    assert sum(row.requests_waiting > 0 and row.kv_usage_ratio >= 0.9 for row in loaded) > len(loaded) * 0.8
    tokens = sorted(row.generation_tokens_total for row in loaded if row.replica == "sim-host:9004")
    assert all(before < after for before, after in pairwise(tokens))


def test_the_demo_recovers_and_serves_everyone(demo_run):
    last = [row for row in demo_run.engines if row.at_us == 150 * S]
    assert [row.requests_waiting for row in last] == [0] * 5
    assert demo_run.unfinished == ()


def test_the_demo_s_overload_is_a_surge_of_the_one_pool():
    assert surges(FAULTS, "chat") == ()
    (surge,) = surges(FAULTS, "code")
    assert surge.factor == 6
    assert {stream.pool for stream in traffic()} == {"chat", "code"}
    assert {fault.kind for fault in FAULTS} == {FaultKind.WEDGE, FaultKind.OVERLOAD}


def test_clients_leave_soon_after_the_last_arrival_and_their_requests_end_with_them(playing, arrival, slow):
    arrivals = [arrival(number, prompt=5, output=100) for number in range(4)]

    async def act(live, targets):
        report = await play(arrivals, targets, limits=Limits(drain_seconds=0.2))
        deadline = time.monotonic() + 5
        while any(replica.engine.running for replica in live.cluster.replicas):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)
        return report

    report = playing(act, law=slow)
    assert report.counts == {Outcome.HUNG_UP: 4}
    assert len(report.not_ok) == 4


def test_who_is_done_before_the_clients_leave_is_done(playing, arrival):
    arrivals = [arrival(number, prompt=5, output=3) for number in range(4)]

    async def act(live, targets):
        return await play(arrivals, targets, limits=Limits(drain_seconds=20.0))

    assert playing(act).counts == {Outcome.OK: 4}
