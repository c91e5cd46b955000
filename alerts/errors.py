"""What can go wrong between a decision and a person.

AlertsError
├── DeliveryError            one attempt failed; `permanent` tells whether to try again
│   └── ForbiddenDestination the address is one that receivers may not have
└── ConfigurationError       a route, receiver or secret that cannot be used: refuse to start
"""

from __future__ import annotations


class AlertsError(Exception):
    """Anything this package raises on purpose. The message holds operation, subject, cause, hint."""


class ConfigurationError(AlertsError):
    """A route, receiver, silence or secret that cannot be used."""


class DeliveryError(AlertsError):
    """One attempt to deliver failed.

    `permanent` true = trying again cannot help. `status` is the HTTP status, None when there
    was no answer. `retry_after_us` is the wait the receiver asked for, None when it did not.
    `gone` true = the receiver says it is no more (410): disable it. The receiver's answer
    itself is never part of the message.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        status: int | None = None,
        retry_after_us: int | None = None,
        gone: bool = False,
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.status = status
        self.retry_after_us = retry_after_us
        self.gone = gone


class ForbiddenDestination(DeliveryError):  # noqa: N818 - says what it is; the base carries Error
    """The receiver's address is private, loopback, link-local or otherwise not for webhooks."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=True)
