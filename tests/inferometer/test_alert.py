"""Receivers, silences and the sink at the command line."""

from __future__ import annotations

import contextlib
import json

import pytest

from alerts.notification import Notification, NotifiedAlert
from alerts.ports import Outcome, Result
from service.store.state import State

FIRING = NotifiedAlert(
    incident="inc",
    fingerprint="00",
    labels={"alertname": "A1"},
    annotations={"summary": "6 wait"},
    starts_at_us=1,
    ends_at_us=None,
)


def test_a_new_receiver_gets_a_secret_shown_once(cli):
    said = cli("alert", "receiver", "add", "pager", "https://hooks.example/T0/B1")
    assert said.code == 0 and "shown once: whsec_" in said.out
    again = cli("alert", "receiver", "add", "pager", "https://hooks.example/T0/B2")
    assert again.code == 0 and "whsec_" not in again.out


def test_list_shows_no_secret_and_no_path(cli):
    secret = cli("alert", "receiver", "add", "pager", "https://hooks.example:8443/T0/B1?key=k").out.split()[
        -1
    ]
    said = cli("alert", "receiver", "list")
    (row,) = json.loads(cli("alert", "receiver", "list", "--json").out)
    assert "https://hooks.example:8443/..." in said.out and secret not in said.out and "T0" not in said.out
    assert row == {
        "name": "pager",
        "kind": "webhook",
        "url": "https://hooks.example:8443/...",
        "allow_private": False,
    }


def test_a_test_message_reaches_the_receiver_signed(cli, admin, sink):
    url, secret, lines = sink
    cli(
        "alert",
        "receiver",
        "add",
        "here",
        url,
        "--secret",
        secret,
        "--allow-private",
        "--data-dir",
        admin.data_dir,
    )
    said = cli("alert", "receiver", "test", "here")
    assert (said.code, said.out) == (0, "delivered: answered 204\n")
    assert len(lines) == 1 and "This is a test" in lines[0]


def test_a_receiver_that_does_not_answer_is_a_failure_with_its_cause(cli, admin):
    cli(
        "alert",
        "receiver",
        "add",
        "gone",
        "http://127.0.0.1:1/",
        "--allow-private",
        "--data-dir",
        admin.data_dir,
    )
    said = cli("alert", "receiver", "test", "gone")
    assert said.code == 1 and "not delivered" in said.err and "Connection refused" in said.err


def test_a_private_address_needs_leave(cli, admin):
    cli("alert", "receiver", "add", "inside", "http://127.0.0.1:1/", "--data-dir", admin.data_dir)
    said = cli("alert", "receiver", "test", "inside")
    assert said.code == 1 and "allow_private" in said.err


def test_a_silence_is_made_and_ended(cli, admin):
    made = cli(
        "alert", "silence", "alertname=A9", "pool=~chat-.*", "--for", "30m", "--comment", "a new router"
    )
    assert made.code == 0 and made.out.startswith("silence-")
    listed = cli("alert", "silences").out
    assert (
        made.out.strip() in listed and 'alertname="A9" pool=~"chat-.*"' in listed and "a new router" in listed
    )
    assert cli("alert", "unsilence", made.out.strip()).code == 0
    assert made.out.strip() not in cli("alert", "silences").out
    again = cli("alert", "unsilence", made.out.strip())
    assert again.code == 1 and "no standing silence" in again.err


@pytest.mark.parametrize(
    ("arguments", "code", "cause"),
    [
        (("receiver", "add", "x", "ftp://h/"), 1, "ftp"),
        (("receiver", "add", "x", "https://h/", "--secret", "short"), 1, "whsec_"),
        (("receiver", "add", "", "https://h/"), 2, "at least 1 character"),
        (("receiver", "list"), 1, "there is no state store"),
        (("silence", "A9"), 2, "LABEL=VALUE"),
        (("silence", "a=b", "--for", "soon"), 1, "'soon' is not a duration"),
        (("silence",), 2, "Missing argument"),
        (("sink", "--secret", "short"), 1, "whsec_"),
        (("sink", "--port", "70000"), 2, "65535"),
    ],
)  # fmt: skip
def test_a_mistake_is_said(cli, arguments, code, cause):
    said = cli("alert", *arguments)
    assert said.code == code and cause in said.err


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("silence", "a=~("), "not a regular expression"),
        (("silence", "a=b", "--for", "60d"), "less than or equal to 2592000"),
        (("receiver", "test", "nobody"), "no receiver is called 'nobody'"),
        (("unsilence", "../../health"), "404"),
        (("replay", "msg_nowhere"), "msg_nowhere: there is none of this id"),
    ],
)
def test_what_the_service_refuses_is_said_in_its_words(cli, admin, arguments, cause):
    said = cli("alert", *arguments)
    assert said.code == 1 and cause in said.err


def test_changing_needs_a_token_and_says_how_to_get_one(cli, service):
    said = cli("alert", "silence", "a=b", "--server", service.url)
    assert said.code == 1 and "inferometer token create" in said.err and "INFEROMETER_TOKEN" in said.err


def test_no_alert_is_said_and_as_json_an_empty_list(cli, admin):
    assert "no alert has ever fired" in cli("alert", "list").err
    assert json.loads(cli("alert", "list", "--json").out) == []


def test_nothing_sent_is_said_and_as_json_an_empty_list(cli, admin):
    assert "nothing has been sent yet" in cli("alert", "sent").err
    assert json.loads(cli("alert", "sent", "--json").out) == []


def test_a_notification_is_listed_and_sent_again_on_demand(cli, admin):
    told = Notification(
        id="msg_1",
        lane="gone/g",
        receiver="gone",
        group_key="g",
        group_labels={},
        created_at_us=1_700_000_000_000_000,
        alerts=(FIRING,),
    )
    with contextlib.closing(State.open(f"sqlite:///{admin.data_dir}/state.db")) as state:
        state.notifications.add([told])
        claim = state.notifications.claim(told.created_at_us, "w", lease_us=1)
        delivered = Result(outcome=Outcome.DELIVERED, at_us=told.created_at_us, detail="answered 204")
        state.notifications.finish(claim, delivered)
    assert "delivered: answered 204" in cli("alert", "sent").out
    assert cli("alert", "replay", "msg_1").code == 0
    assert "delivered: answered 204" not in cli("alert", "sent").out
