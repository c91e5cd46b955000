"""Silences, replay and test messages over HTTP: who may, what is answered, what is kept."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from alerts.receivers.webhook import new_secret
from alerts.sink import Sink
from service.store.silences import StoredReceiver


@pytest.fixture
def sink():
    """Return a receiver that runs: its URL, its secret, the lines it printed."""
    secret, lines = new_secret(), []
    running = Sink(0, secret, lines.append)
    thread = threading.Thread(target=running.serve_forever, args=(0.05,))
    thread.start()
    yield running.url, secret, lines
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def admin(served):
    def call(method, path, **more):
        return served.call(method, f"/api/v1/{path}", token=served.admin, **more)

    return call


def add_receiver(served, name, url, secret):
    stored = StoredReceiver(name=name, kind="webhook", url=url, secret=secret, allow_private=True)
    with served.state() as state:
        state.receivers.keep(stored, now_us=1)


def test_a_silence_stands_until_it_is_ended(admin):
    matchers = [{"label": "alertname", "operator": "=~", "value": "A.*"}]
    made = admin("POST", "silences", json={"matchers": matchers, "seconds": 60, "comment": "why"})
    assert made.status_code == 201
    (standing,) = admin("GET", "silences").json()
    assert (standing["id"], standing["matchers"]) == (made.json()["id"], ['alertname=~"A.*"'])
    assert admin("DELETE", f"silences/{standing['id']}").status_code == 204
    assert admin("GET", "silences").json() == []
    assert admin("DELETE", f"silences/{standing['id']}").status_code == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"matchers": [], "seconds": 60}, "matchers"),
        ({"matchers": [{"label": "a", "operator": "=~", "value": "("}], "seconds": 60}, "regular expression"),
        ({"matchers": [{"label": "a", "operator": "~", "value": "b"}], "seconds": 60}, "operator"),
        ({"matchers": [{"label": "a", "value": "b"}], "seconds": 0}, "seconds"),
    ],
)
def test_a_silence_that_cannot_be_is_refused_with_the_reason(admin, body, words):
    answer = admin("POST", "silences", json=body)
    assert answer.status_code == 422 and words in str(answer.json()["detail"])


def test_a_receiver_added_while_running_is_reached(served, admin, sink):
    url, secret, lines = sink
    add_receiver(served, "pager", url, secret)
    answer = admin("POST", "receivers/pager/test")
    assert answer.json()["delivered"] is True, answer.text
    assert lines


def test_a_receiver_that_is_not_there_is_said_and_not_raised(served, admin):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    add_receiver(served, "nobody", f"http://127.0.0.1:{port}/", new_secret())
    answer = admin("POST", "receivers/nobody/test")
    assert (answer.status_code, answer.json()["delivered"]) == (200, False)


def test_what_does_not_exist_is_404_and_says_what_does(admin):
    answer = admin("POST", "receivers/none/test")
    assert answer.status_code == 404 and "no receiver is called 'none'" in answer.json()["detail"]
    assert admin("POST", "notifications/none/replay").status_code == 404


def test_who_did_what_is_kept(served, admin):
    made = admin("POST", "silences", json={"matchers": [{"label": "a", "value": "b"}], "seconds": 1})
    with served.state() as state:
        newest = state.audit.listed(limit=1)[0]
    assert (newest.who, newest.action, newest.subject) == ("first-admin", "silence", made.json()["id"])
