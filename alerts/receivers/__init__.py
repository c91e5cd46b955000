"""Where notifications go: one file per kind of receiver, each implementing `Receiver`."""

from __future__ import annotations

from typing import Protocol

from alerts.notification import Notification


class Receiver(Protocol):
    """One configured destination. Thread-safe: several notifications may be sent at once."""

    name: str

    def send(self, notification: Notification, now_us: int) -> int:
        """Send once, within a bounded time, and return the status of the answer (2xx).

        `now_us` is the instant of the attempt, UTC. Raises `alerts.errors.DeliveryError`,
        whose `permanent` tells whether another attempt can help.
        """
        ...
