"""The demo's webhook sink: it verifies, prints one line, names repeats, and refuses the rest."""

from __future__ import annotations

import socket
import threading
import time

import httpx
import pytest

from alerts.errors import DeliveryError
from alerts.receivers.webhook import Webhook, new_secret
from alerts.sink import MAX_BODY_BYTES, Sink


def now_us():
    return time.time_ns() // 1_000


@pytest.fixture
def sink():
    """Return a running sink, its lines and its secret."""
    lines, secret = [], new_secret()
    server = Sink(0, secret, lines.append)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server, lines, secret
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_notification_becomes_one_readable_line(sink, told):
    server, lines, secret = sink
    Webhook("hook", server.url, secrets=[secret], allow_private=True).send(told(), now_us())
    (line,) = lines
    for part in ("FIRING", "page", "A1", "a:8000", "6 wait, none run", "gpus GPU-1", "idle_cost 0.10 USD"):
        assert part in line


def test_a_repeat_is_named(sink, told):
    server, lines, secret = sink
    hook = Webhook("hook", server.url, secrets=[secret], allow_private=True)
    hook.send(told(), now_us())
    hook.send(told(), now_us())
    assert "(repeat)" not in lines[0] and "(repeat)" in lines[1]


def test_a_wrong_signature_is_refused(sink, told):
    server, lines, _ = sink
    with pytest.raises(DeliveryError, match="401"):
        Webhook("hook", server.url, secrets=[new_secret()], allow_private=True).send(told(), now_us())
    assert lines == ["refused: No matching signature found"]


def test_an_unsigned_body_is_refused(sink):
    server, lines, _ = sink
    assert httpx.post(server.url, content=b"hello").status_code == 401
    assert lines == ["refused: Missing required headers"]


@pytest.mark.parametrize("length", [str(MAX_BODY_BYTES + 1), "-1", "many"])
def test_a_body_that_is_too_large_is_refused_unread(sink, length):
    server, lines, _ = sink
    with socket.create_connection(server.server_address, timeout=5) as client:
        client.sendall(f"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n".encode())
        assert b" 413 " in client.recv(200)
    assert lines == []
