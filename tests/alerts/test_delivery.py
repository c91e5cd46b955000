"""Delivery: at least once, in order, bounded, and one dead destination delays no other."""

from __future__ import annotations

import threading
import time
from concurrent.futures import wait

import pytest
from standardwebhooks import Webhook as Library

from alerts.delivery import JITTER_RATIO, RETRIES_US, Delivery, Limits, retry_at
from alerts.errors import DeliveryError
from alerts.memory import MAX_ROWS, MemoryStore
from alerts.pipeline import Context
from alerts.ports import Outcome
from alerts.receivers.webhook import Webhook, new_secret
from telemetry.units import MICROS_PER_HOUR

SECOND = 1_000_000
OPEN = Context(firing={"inc": {"alertname": "A1"}})


class Clock:
    def __init__(self):
        self.now_us = time.time_ns() // 1_000

    def __call__(self):
        return self.now_us


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def deliver(store, clock):
    """Make a delivery: deliver({name: receiver}, worker=..., limits=..., context=...)."""
    made = []

    def make(receivers, *, worker="w", limits=None, context=OPEN):
        delivery = Delivery(
            store,
            receivers,
            worker=worker,
            clock=clock,
            context=lambda: context,
            limits=limits,
            chance=lambda: 0.5,
        )
        made.append(delivery)
        return delivery

    yield make
    for delivery in made:
        delivery.close()


@pytest.fixture
def hook(hostile_server):
    """Make a webhook and its server: hook(*answers, name=...)."""

    def make(*answers, name="hook"):
        server = hostile_server(*answers)
        return Webhook(name, server.url, secrets=[new_secret()], allow_private=True), server

    return make


class Blocked:
    """A receiver that answers nobody until it is let go."""

    def __init__(self):
        self.let_go = threading.Event()
        self.calls = 0
        self.name = "blocked"

    def send(self, notification, now_us):
        self.calls += 1
        self.let_go.wait(20)
        raise DeliveryError("never answered")


def round_of(delivery):
    wait(delivery.run_once(), timeout=10)


def test_what_is_due_is_sent_and_recorded(deliver, store, told, hook):
    receiver, server = hook(204)
    store.add([told()])
    round_of(deliver({"hook": receiver}))
    assert server.ids() == ["msg_1"] and store.rows["msg_1"].outcome is Outcome.DELIVERED


def test_a_failure_is_tried_again_under_the_same_id(deliver, store, told, hook, clock, bad):
    receiver, server = hook(500, bad["reset"], 503, 204)
    delivery = deliver({"hook": receiver})
    store.add([told()])
    waits = []
    while not store.rows["msg_1"].finished:
        round_of(delivery)
        waits.append(store.rows["msg_1"].next_at_us - clock.now_us)
        clock.now_us = max(clock.now_us, store.rows["msg_1"].next_at_us)
    assert server.ids() == ["msg_1"] * 4
    assert waits[:3] == list(RETRIES_US[:3]), "the first retry comes within five seconds"


def test_retry_after_is_obeyed_within_a_second(deliver, store, told, hook, clock, bad):
    receiver, server = hook(bad["throttle"], 204)
    delivery = deliver({"hook": receiver})
    store.add([told()])
    round_of(delivery)
    assert 7 * SECOND <= store.rows["msg_1"].next_at_us - clock.now_us < 8 * SECOND
    clock.now_us += 6 * SECOND
    round_of(delivery)
    assert len(server.requests) == 1
    clock.now_us += 2 * SECOND
    round_of(delivery)
    assert len(server.requests) == 2


def test_a_permanent_failure_is_dead_and_replayable(deliver, store, told, hook, clock):
    receiver, server = hook(404, 204)
    delivery = deliver({"hook": receiver})
    store.add([told()])
    round_of(delivery)
    row = store.rows["msg_1"]
    assert row.outcome is Outcome.DEAD and "check the path" in row.detail
    store.replay("msg_1", clock.now_us)
    round_of(delivery)
    assert server.ids() == ["msg_1"] * 2 and row.outcome is Outcome.DELIVERED


def test_gone_disables_the_receiver(deliver, store, told, hook):
    receiver, server = hook(410)
    delivery = deliver({"hook": receiver}, limits=Limits(threads=1, per_receiver=1))
    store.add([told(1, lane="hook/a"), told(2, lane="hook/b")])
    round_of(delivery)
    round_of(delivery)
    assert len(server.requests) == 1 and store.disabled == {"hook"}


def test_a_receiver_that_is_not_configured_makes_a_dead_letter_with_a_hint(deliver, store, told):
    store.add([told()])
    round_of(deliver({}))
    assert store.rows["msg_1"].outcome is Outcome.DEAD and "not configured" in store.rows["msg_1"].detail


def test_a_resolve_never_overtakes_its_firing(deliver, store, told, hook, clock):
    receiver, server = hook(500, 500, 204)
    delivery = deliver({"hook": receiver})
    store.add([told(1), told(2, resolved=True)])
    for _ in range(8):
        round_of(delivery)
        clock.now_us += 20 * SECOND
    assert server.ids() == ["msg_1", "msg_1", "msg_1", "msg_2"]


def test_order_holds_for_every_incident_under_many_threads(deliver, store, told, hook):
    receiver, server = hook(204)
    delivery = deliver({"hook": receiver}, limits=Limits(threads=8, per_receiver=8))
    for lane in range(10):
        store.add([told(f"{lane}-{n}", lane=f"hook/{lane}", incident=f"i{lane}") for n in range(6)])
    while delivery.run_once() or not all(row.finished for row in store.rows.values()):
        time.sleep(0.002)
    for lane in range(10):
        mine = [each for each in server.ids() if each.startswith(f"msg_{lane}-")]
        assert mine == [f"msg_{lane}-{n}" for n in range(6)]


def test_two_workers_never_send_the_same_claim(deliver, store, told, hook):
    receiver, server = hook(204)
    store.add([told(n, lane=f"hook/{n}", incident=f"i{n}") for n in range(60)])
    workers = [deliver({"hook": receiver}, worker=f"w{n}") for n in range(2)]
    stop = threading.Event()
    threads = [threading.Thread(target=w.run, args=(stop,), kwargs={"poll_seconds": 0.005}) for w in workers]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 15
    while not all(row.finished for row in store.rows.values()) and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert sorted(server.ids()) == sorted(f"msg_{n}" for n in range(60))


def test_a_dead_destination_delays_the_others_by_less_than_a_second(deliver, store, told, hook, until):
    receiver, server = hook(204, name="alive")
    blocked = Blocked()
    store.add([told(n, lane=f"blocked/{n}", receiver="blocked") for n in range(40)])
    store.add([told(100 + n, lane=f"alive/{n}", receiver="alive") for n in range(5)])
    delivery = deliver({"blocked": blocked, "alive": receiver})
    began = time.monotonic()
    while len(server.requests) < 5:
        delivery.run_once()
        assert time.monotonic() - began < 1.0
        time.sleep(0.005)
    assert blocked.calls == Limits().per_receiver
    blocked.let_go.set()


def test_threads_are_bounded_in_all(deliver, store, told, until):
    everyone = {f"r{n}": Blocked() for n in range(6)}
    store.add([told(n, lane=f"r{n}/a", receiver=f"r{n}") for n in range(6)])
    delivery = deliver(everyone, limits=Limits(threads=3, per_receiver=1))
    delivery.run_once()
    until(lambda: sum(each.calls for each in everyone.values()) == 3)
    assert delivery.run_once() == []
    for each in everyone.values():
        each.let_go.set()


def test_an_attempt_that_outlived_its_lease_is_not_recorded(deliver, store, told, clock, caplog, until):
    blocked = Blocked()
    store.add([told(receiver="blocked")])
    (sent,) = deliver({"blocked": blocked}).run_once()
    until(lambda: blocked.calls == 1)
    clock.now_us += Limits().lease_us
    assert store.claim(clock.now_us, "other", lease_us=SECOND) is not None
    blocked.let_go.set()
    wait([sent], timeout=5)
    assert "lease of msg_1 ran out" in caplog.text and store.rows["msg_1"].outcome is None


def test_a_receiver_with_a_fault_of_ours_keeps_its_row(deliver, store, told, caplog):
    class Broken:
        name = "hook"

        def send(self, notification, now_us):
            raise ZeroDivisionError

    store.add([told()])
    round_of(deliver({"hook": Broken()}))
    assert store.rows["msg_1"].outcome is None and "tried again" in caplog.text


def test_a_store_that_is_away_does_not_end_the_loop(told, hook, clock, until, caplog):
    class Flaky(MemoryStore):
        faults = 3

        def claim(self, *args, **kwargs):
            if self.faults:
                self.faults -= 1
                raise OSError("database is away")
            return super().claim(*args, **kwargs)

    receiver, server = hook(204)
    store = Flaky()
    store.add([told()])
    delivery = Delivery(store, {"hook": receiver}, worker="w", clock=clock, context=lambda: OPEN)
    stop = threading.Event()
    thread = threading.Thread(target=delivery.run, args=(stop,), kwargs={"poll_seconds": 0.005})
    thread.start()
    until(lambda: server.ids() == ["msg_1"])
    stop.set()
    thread.join()
    delivery.close()
    assert "a round failed" in caplog.text


def test_a_silence_defers_and_its_reason_is_kept(deliver, store, told, hook, clock):
    from alerts.matchers import Matcher
    from alerts.silences import Silence

    silence = Silence(
        id="s",
        matchers=(Matcher("alertname", "=", "A1"),),
        starts_at_us=0,
        ends_at_us=10**18,
        created_by="Ada",
    )
    receiver, server = hook(204)
    store.add([told()])
    round_of(deliver({"hook": receiver}, context=Context(firing=OPEN.firing, silences=(silence,))))
    assert store.rows["msg_1"].outcome is Outcome.DEFERRED and "by Ada" in store.rows["msg_1"].detail
    clock.now_us += 60 * SECOND
    round_of(deliver({"hook": receiver}, worker="later"))
    assert server.ids() == ["msg_1"], "it fires still, so it is told when the silence is over"


def test_outcomes_are_counted_for_our_own_metrics(deliver, store, told, hook):
    receiver, _ = hook(204)
    delivery = deliver({"hook": receiver})
    store.add([told()])
    round_of(delivery)
    assert delivery.outcomes == {("hook", Outcome.DELIVERED): 1}


def test_what_arrives_verifies(deliver, store, told, hostile_server):
    secret, server = new_secret(), hostile_server(204)
    store.add([told()])
    round_of(deliver({"hook": Webhook("hook", server.url, secrets=[secret], allow_private=True)}))
    headers, data = server.requests[0]
    Library(secret).verify(data, headers)


def test_the_retry_schedule_outlasts_a_weekend_and_ends():
    assert sum(RETRIES_US) > 72 * MICROS_PER_HOUR
    assert retry_at(len(RETRIES_US), 0, asked_us=None, chance=0.5) is not None
    assert retry_at(len(RETRIES_US) + 1, 0, asked_us=None, chance=0.5) is None


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.999])
def test_jitter_stays_within_a_fifth(chance):
    for attempt, base in enumerate(RETRIES_US, start=1):
        wait_us = retry_at(attempt, 0, asked_us=None, chance=chance)
        assert abs(wait_us - base) <= base * JITTER_RATIO + 1


def test_the_store_in_memory_refuses_to_grow_without_bound(told, monkeypatch):
    monkeypatch.setattr("alerts.memory.MAX_ROWS", 2)
    assert MAX_ROWS == 100_000
    store = MemoryStore()
    store.add([told(1), told(2)])
    with pytest.raises(OverflowError):
        store.add([told(3)])
