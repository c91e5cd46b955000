"""The webhook: Alertmanager's body (version 4), signed as Standard Webhooks 1.0.0 asks.

Whatever takes Alertmanager's webhooks takes ours. `webhook-id` is the notification's id and
stays the same over retries, so a receiver drops repeats by it; `webhook-timestamp` is the
instant of the attempt; two secrets give two signatures while one replaces the other.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets as randomness
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from standardwebhooks import Webhook as Signer

from alerts.addresses import PRIVATE, checked_url
from alerts.errors import ConfigurationError
from alerts.notification import Notification, NotifiedAlert
from alerts.receivers.http import Poster, verdict

PREFIX: Final = "whsec_"
MAX_SECRETS: Final = 2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER: Final = "0001-01-01T00:00:00Z"
"""What Alertmanager writes as the end of an alert that has none."""


def new_secret() -> str:
    """Return a fresh secret: `whsec_` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(randomness.token_bytes(32)).decode()


def signer(secret: str) -> Signer:
    """Return a secret's signer. `ConfigurationError` unless it is whsec_ and 24..64 bytes of base64."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise ConfigurationError("webhook secret: must be `whsec_` and base64 of 24 to 64 bytes")
    return Signer(key)


class Webhook:
    """One configured webhook. Thread-safe."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        secrets: Sequence[str],
        poster: Poster | None = None,
        allow_private: bool = False,
        external_url: str = "",
    ) -> None:
        """Check the configuration; `ConfigurationError` names what cannot be used.

        `secrets` are one, or two while one replaces the other. `allow_private` opens loopback
        and private networks, for receivers inside the cluster; it does nothing when a
        `poster` brings its own list. `external_url` is where people reach our pages.
        """
        if not 1 <= len(secrets) <= MAX_SECRETS:
            raise ConfigurationError(f"receiver {name}: needs one secret, or two during a rotation")
        self.name = name
        self._url = checked_url(url)
        self._signers = tuple(signer(secret) for secret in secrets)
        self._poster = poster or Poster(allowed=PRIVATE if allow_private else ())
        self._external_url = external_url.rstrip("/")

    def send(self, notification: Notification, now_us: int) -> int:
        """Send one signed POST; see `Receiver.send`."""
        text = body(notification, self._external_url)
        headers = self._headers(notification.id, text, now_us)
        answer = self._poster.post(self._url, text.encode(), headers, now_us)
        return verdict(answer, self._url.host)

    def _headers(self, message_id: str, text: str, now_us: int) -> Mapping[str, str]:
        at = _EPOCH + timedelta(microseconds=now_us)
        return {
            "content-type": "application/json",
            "user-agent": "Inferometer",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(each.sign(message_id, at, text) for each in self._signers),
        }


def body(notification: Notification, external_url: str) -> str:
    """Return the JSON body: exactly the keys of Alertmanager's webhook, version 4.

    The same notification always gives the same text.
    """
    alerts = notification.alerts
    return json.dumps(
        {
            "version": "4",
            "groupKey": notification.group_key,
            "truncatedAlerts": 0,
            "status": "firing" if notification.firing else "resolved",
            "receiver": notification.receiver,
            "groupLabels": dict(notification.group_labels),
            "commonLabels": _shared([alert.labels for alert in alerts]),
            "commonAnnotations": _shared([alert.annotations for alert in alerts]),
            "externalURL": external_url,
            "alerts": [_alert(alert, external_url) for alert in alerts],
        },
        ensure_ascii=False,
        sort_keys=True,
    )


def _alert(alert: NotifiedAlert, external_url: str) -> dict[str, Any]:
    return {
        "status": "firing" if alert.ends_at_us is None else "resolved",
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "startsAt": _instant(alert.starts_at_us),
        "endsAt": _NEVER if alert.ends_at_us is None else _instant(alert.ends_at_us),
        "generatorURL": f"{external_url}/alerts#{alert.incident}",
        "fingerprint": alert.fingerprint,
    }


def _instant(at_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _shared(sets: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return what every set says alike; empty for no sets."""
    if not sets:
        return {}
    return dict(set.intersection(*(set(each.items()) for each in sets)))
