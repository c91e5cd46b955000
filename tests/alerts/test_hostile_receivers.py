"""Receivers that misbehave: each a bounded, classified failure, none a lost notification."""

from __future__ import annotations

import socket
import time

import pytest

from alerts.addresses import PRIVATE
from alerts.errors import DeliveryError
from alerts.receivers.http import MAX_RETRY_AFTER_US, Poster
from alerts.receivers.webhook import Webhook, new_secret

SECOND = 1_000_000


def now_us():
    return time.time_ns() // 1_000


@pytest.fixture
def attempt(told):
    """Send once to a URL within a second; return the error, which must not be permanent."""
    poster = Poster(total_seconds=0.6, allowed=PRIVATE)

    def send(url):
        hook = Webhook("hook", url, secrets=[new_secret()], poster=poster)
        began = time.monotonic()
        with pytest.raises(DeliveryError) as caught:
            hook.send(told(), now_us())
        assert time.monotonic() - began < 2.0, "an attempt is bounded"
        return caught.value

    return send


@pytest.mark.parametrize("way", ["reset", "silent", "drip"])
def test_no_answer_in_time_is_worth_another_try(hostile_server, bad, attempt, way):
    error = attempt(hostile_server(bad[way]).url)
    assert not error.permanent and error.status is None and "no answer" in str(error)


def test_a_closed_port_is_worth_another_try(attempt):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    assert not attempt(f"http://127.0.0.1:{port}/").permanent


def test_something_that_does_not_speak_http_is_worth_another_try(attempt):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(2)
        port = listener.getsockname()[1]
        import threading

        def mumble():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"\x16\x03\x01 not http\r\n\r\n")

        thread = threading.Thread(target=mumble)
        thread.start()
        assert not attempt(f"http://127.0.0.1:{port}/").permanent
        thread.join()


def test_tls_against_a_plain_port_is_worth_another_try(hostile_server, attempt):
    server = hostile_server(204)
    assert not attempt(server.url.replace("http://", "https://")).permanent


def test_a_redirect_is_never_followed(hostile_server, bad, attempt):
    server = hostile_server(bad["redirect"])
    error = attempt(server.url)
    assert error.permanent and "final URL" in str(error) and len(server.requests) == 1


def test_the_wait_a_receiver_asks_for_is_read(hostile_server, bad, attempt):
    error = attempt(hostile_server(bad["throttle"]).url)
    assert error.status == 429 and error.retry_after_us == 7 * SECOND


@pytest.mark.parametrize(
    ("text", "wait_us"),
    [("0", 0), ("120", 120 * SECOND), ("-5", None), ("soon", None), ("1e3", None), ("9" * 400, MAX_RETRY_AFTER_US),
     ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_US)],
)  # fmt: skip
def test_whatever_retry_after_says_is_bounded(hostile_server, attempt, text, wait_us):
    server = hostile_server(lambda handler, hostile: handler.reply(503, retry_after=text))
    assert attempt(server.url).retry_after_us == wait_us


def test_the_receivers_words_reach_nobody(hostile_server, attempt):
    def leak(handler, hostile):
        handler.send_response(500, "SECRET-REASON")
        handler.send_header("content-length", "11")
        handler.end_headers()
        handler.wfile.write(b"SECRET-BODY")

    assert "SECRET" not in str(attempt(hostile_server(leak).url))


def test_an_answer_is_not_read_beyond_its_head(hostile_server, told):
    def flood(handler, hostile):
        handler.send_response(200)
        handler.send_header("content-length", str(10**12))
        handler.end_headers()
        try:
            while not hostile.release.wait(0):
                handler.wfile.write(b"z" * 65536)
        except OSError:
            pass

    server = hostile_server(flood)
    hook = Webhook("hook", server.url, secrets=[new_secret()], allow_private=True)
    assert hook.send(told(), now_us()) == 200
