"""The webhook's bytes: Alertmanager's body, Standard Webhooks' signature."""

from __future__ import annotations

import json
import time

import pytest
from standardwebhooks import Webhook as Library
from standardwebhooks import WebhookVerificationError

from alerts.errors import ConfigurationError, DeliveryError, ForbiddenDestination
from alerts.receivers.webhook import Webhook, body, new_secret

BODY_KEYS = {
    "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels",
    "commonAnnotations", "externalURL", "alerts",
}  # fmt: skip
ALERT_KEYS = {"status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"}


def now_us():
    return time.time_ns() // 1_000


@pytest.fixture
def webhook(hostile_server):
    """Make a webhook and the server it posts to: webhook(*answers, secrets=...)."""

    def make(*answers, secrets=None):
        server = hostile_server(*answers)
        secrets = secrets or [new_secret()]
        return Webhook("hook", server.url, secrets=secrets, allow_private=True), server, secrets

    return make


def test_the_body_has_exactly_alertmanagers_keys(told):
    message = json.loads(body(told(), "https://x.example"))
    assert set(message) == BODY_KEYS and message["version"] == "4"
    assert set(message["alerts"][0]) == ALERT_KEYS


def test_a_firing_body_says_so(told):
    message = json.loads(body(told(), "https://x.example"))
    (alert,) = message["alerts"]
    assert (message["status"], alert["status"]) == ("firing", "firing")
    assert alert["startsAt"] == "1970-01-01T00:00:01.000000Z" and alert["endsAt"] == "0001-01-01T00:00:00Z"
    assert alert["generatorURL"] == "https://x.example/alerts#inc"


def test_a_resolved_body_says_when(told):
    message = json.loads(body(told(resolved=True), ""))
    assert message["status"] == "resolved" and message["alerts"][0]["endsAt"] == "1970-01-01T00:00:02.000000Z"


def test_common_labels_are_those_that_every_alert_shares(told):
    message = json.loads(body(told(), ""))
    assert message["commonLabels"] == message["alerts"][0]["labels"]


def test_the_library_verifies_what_was_sent(webhook, told):
    hook, server, (secret,) = webhook(204)
    assert hook.send(told(), now_us()) == 204
    headers, data = server.requests[0]
    assert Library(secret).verify(data, headers)["receiver"] == "hook"
    assert headers["webhook-id"] == "msg_1" and headers["host"] == f"127.0.0.1:{server.port}"


def test_a_changed_byte_is_noticed(webhook, told):
    hook, server, (secret,) = webhook(204)
    hook.send(told(), now_us())
    headers, data = server.requests[0]
    with pytest.raises(WebhookVerificationError):
        Library(secret).verify(data.replace(b"A1", b"A2", 1), headers)


def test_both_secrets_verify_while_one_replaces_the_other(webhook, told):
    hook, server, secrets = webhook(204, secrets=[new_secret(), new_secret()])
    hook.send(told(), now_us())
    headers, data = server.requests[0]
    assert all(Library(secret).verify(data, headers) for secret in secrets)


def test_a_retry_has_the_same_id_and_body_and_a_new_timestamp(webhook, told):
    hook, server, _ = webhook(204)
    at_us = now_us()
    hook.send(told(), at_us)
    hook.send(told(), at_us + 3_000_000)
    (first, first_body), (second, second_body) = server.requests
    assert first["webhook-id"] == second["webhook-id"] and first_body == second_body
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 3


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_short", "hunter2" * 9, "whsec_" + "A" * 200, "whsec_é"]
)
def test_a_secret_that_is_none_is_refused_and_not_shown(secret):
    with pytest.raises(ConfigurationError, match="24 to 64 bytes") as caught:
        Webhook("hook", "https://x.example/", secrets=[secret])
    assert secret in ("", "whsec_") or secret not in str(caught.value)


@pytest.mark.parametrize("count", [0, 3])
def test_one_or_two_secrets_are_asked_for(count):
    with pytest.raises(ConfigurationError, match="one secret, or two"):
        Webhook("hook", "https://x.example/", secrets=[new_secret()] * count)


def test_loopback_needs_the_operators_consent(hostile_server, told):
    server = hostile_server(204)
    hook = Webhook("hook", server.url, secrets=[new_secret()])
    with pytest.raises(ForbiddenDestination):
        hook.send(told(), now_us())
    assert server.requests == []


def test_a_new_secret_is_a_good_one():
    assert new_secret() != new_secret() and Webhook("hook", "https://x.example/", secrets=[new_secret()])


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(500, False), (502, False), (503, False), (504, False), (408, False), (425, False), (429, False),
     (400, True), (401, True), (404, True), (413, True), (301, True), (307, True), (304, True)],
)  # fmt: skip
def test_a_status_tells_whether_to_try_again(webhook, told, status, permanent):
    hook, _, _ = webhook(status)
    with pytest.raises(DeliveryError) as caught:
        hook.send(told(), now_us())
    assert caught.value.permanent is permanent and caught.value.status == status and not caught.value.gone


def test_gone_disables(webhook, told):
    hook, _, _ = webhook(410)
    with pytest.raises(DeliveryError) as caught:
        hook.send(told(), now_us())
    assert caught.value.gone and caught.value.permanent
