"""What each answer of the service does to a batch, and in which order batches go."""

from __future__ import annotations

import json
import time

import pytest

from collector.clock import HostClock
from collector.shipper import Link, Shipper
from journal import Journal, Limits, Sealed
from telemetry.wire import CONTENT_TYPE


@pytest.fixture
def journal(tmp_path):
    opened = Journal.open(tmp_path / "spool.db", Limits(drop_oldest=True), readers=("ship",))
    yield opened
    opened.close()


@pytest.fixture
def ship(journal):
    shippers = []

    def make(url, backlog_per_second=1_000.0):
        shipper = Shipper(
            journal, Link(url, "t0ken"), clock=HostClock(), backlog_per_second=backlog_per_second
        )
        shippers.append(shipper)
        shipper.start()
        return shipper

    yield make
    for shipper in shippers:
        shipper.stop(grace_seconds=5)


@pytest.fixture
def put(journal):
    def append(*numbers):
        for number in numbers:
            body = f"batch {number}".encode()
            journal.append(Sealed(agent="a", boot="b", seq=number, received_at_us=1, body=body)).result(5)

    return append


def bodies(web):
    return [int(body.split()[1]) for _, _, body in web.asked]


def left(journal):
    return [entry.seq for entry in journal.read(0)]


def test_a_batch_is_posted_with_its_token_and_type(ship, put, web, journal, eventually):
    ship(web.url)
    put(1)
    eventually(lambda: not left(journal))
    ((path, headers, body),) = web.asked
    assert (path, body) == ("/api/v1/batches", b"batch 1")
    assert headers["Authorization"] == "Bearer t0ken" and headers["Content-Type"] == CONTENT_TYPE


@pytest.mark.parametrize("status", [200, 201, 202])
def test_an_acknowledged_batch_leaves_the_spool(ship, put, web, journal, eventually, status):
    web.status = status
    shipper = ship(web.url)
    put(1, 2)
    eventually(lambda: not left(journal))
    assert shipper.shipped == 2 and shipper.trouble is None


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_batch_refused_for_what_it_is_is_set_aside_and_the_next_one_goes(
    ship, put, web, journal, eventually, status
):
    web.answer = lambda handler, body: handler.reply(
        status if body == b"batch 1" else 200, b'{"detail": "gpu_samples.at_us: in the future"}'
    )
    shipper = ship(web.url)
    put(1, 2)
    eventually(lambda: not left(journal))
    (aside,) = journal.quarantined()
    assert aside.seq == 1 and "gpu_samples.at_us: in the future" in aside.reason
    eventually(lambda: (shipper.quarantined, shipper.shipped) == (1, 1))


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "inferometer token create"),
        (403, "make an agent token"),
        (404, "is the server's address right"),
        (426, "upgrade this agent"),
        (500, "the service has a fault"),
        (503, "asks to wait"),
    ],
)
def test_any_other_answer_keeps_the_batch_and_says_why(ship, put, web, journal, eventually, status, told):
    web.status = status
    shipper = ship(web.url)
    put(1)
    eventually(lambda: shipper.trouble)
    assert told in shipper.trouble and "t0ken" not in shipper.trouble
    assert left(journal) == [1] and journal.quarantined() == []


def test_a_service_that_asks_to_wait_is_given_its_time(ship, put, web, journal, eventually):
    web.status, web.headers = 429, {"Retry-After": "0.3"}
    ship(web.url)
    put(1)
    eventually(lambda: web.asked)
    web.status = 200
    begun = time.monotonic()
    eventually(lambda: not left(journal))
    assert time.monotonic() - begun > 0.2


def test_a_service_that_was_away_gets_everything_when_it_is_back(ship, put, web, journal, eventually):
    web.status = 503
    web.headers = {"Retry-After": "0.05"}
    shipper = ship(web.url)
    put(1, 2, 3)
    eventually(lambda: shipper.answers["503"])
    web.status = 200
    eventually(lambda: not left(journal))
    assert shipper.shipped == 3 and shipper.trouble is None


def test_after_an_outage_fresh_batches_go_first_and_the_backlog_at_its_share(
    ship, put, web, journal, eventually
):
    put(*range(1, 21))  # what an outage left
    ship(web.url, backlog_per_second=20)
    eventually(lambda: len(web.asked) >= 2)
    put(21)
    eventually(lambda: 21 in bodies(web), seconds=1)
    assert bodies(web)[0] == 20  # of the backlog, too, the newest first
    assert len(bodies(web)) < 15
    backlog = [number for number in bodies(web) if number != 21]
    assert backlog == sorted(backlog, reverse=True)


def test_nobody_listening_is_tried_again_and_again(ship, put, journal, eventually):
    shipper = ship("http://127.0.0.1:1")
    put(1)
    eventually(lambda: shipper.answers["none"] >= 2)
    assert "Connection refused" in shipper.trouble and left(journal) == [1]


def test_what_was_sealed_last_is_delivered_before_it_ends(ship, put, web, journal, eventually):
    web.answer = lambda handler, _: (time.sleep(0.2), handler.reply(200, b""))
    shipper = ship(web.url)
    put(1)
    eventually(lambda: web.asked)  # under way while the next two are sealed
    put(2, 3)
    shipper.stop(grace_seconds=5)
    assert left(journal) == [] and shipper.shipped == 3


def test_a_service_that_is_away_holds_nobody_up_at_the_end(ship, put, journal, eventually):
    shipper = ship("http://127.0.0.1:1")
    put(1)
    eventually(lambda: shipper.answers["none"])
    put(2)
    begun = time.monotonic()
    shipper.stop(grace_seconds=5)
    assert time.monotonic() - begun < 1 and left(journal) == [1, 2]


def test_a_connection_the_service_closed_meanwhile_costs_nothing(ship, put, web, journal, eventually):
    def answer_and_close(handler, _):
        handler.reply(200, b"")
        handler.close_connection = True  # without saying so

    web.answer = answer_and_close
    shipper = ship(web.url)
    for number in (1, 2, 3):
        put(number)
        eventually(lambda: not left(journal))
    assert shipper.shipped == 3 and shipper.answers["none"] == 0


def test_the_services_word_tells_the_clocks_offset(ship, put, web, journal, eventually):
    ahead = int(time.time() * 1e6) + 90_000_000
    web.answer = json.dumps({"received_at_us": ahead}).encode()
    shipper = ship(web.url)
    put(1)
    eventually(lambda: shipper.clock_offset_us)
    assert abs(shipper.clock_offset_us - 90_000_000) < 5_000_000


def test_the_date_of_an_answer_tells_the_offset_to_half_a_second(ship, put, web, eventually):
    shipper = ship(web.url)  # the test server sends a Date
    put(1)
    eventually(lambda: shipper.clock_offset_us is not None)
    assert abs(shipper.clock_offset_us) < 2_000_000


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[1,2]", b'{"detail": {"a": 1}}', b"[" * 30_000, b"<html>"])
def test_a_hostile_answer_is_no_more_than_a_reason(ship, put, web, journal, eventually, body):
    web.status, web.answer = 422, body
    shipper = ship(web.url)
    put(1)
    eventually(lambda: shipper.quarantined)
    assert len(journal.quarantined()[0].reason) < 500
