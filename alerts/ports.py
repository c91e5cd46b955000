"""What delivery needs of a store, declared by delivery: rows that are claimed and finished.

The rules an implementation keeps (`alerts.memory` is the reference, tests/alerts holds the
contract that both implementations pass):

- `claim` returns a row that is due (`next_at_us <= now_us`), leased to nobody (or whose lease
  has run out), whose receiver is neither disabled nor in `exclude`, and which is the oldest
  unfinished row of its lane; two workers never hold the same row. Finding and leasing are one
  transaction.
- `finish` writes the outcome only while the worker still holds the lease; false = it was lost.
- an outcome in `FINAL` finishes the row; any other makes it due again at `next_at_us`.
- DELIVERED of a firing alert records its incident as announced to that receiver.
- DISABLED also disables the receiver; its other rows wait until a person enables it again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from alerts.notification import Notification


class Outcome(StrEnum):
    """How one attempt ended."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """Failed for now: due again at `next_at_us`."""
    DEFERRED = "deferred"
    """Held back by a silence or an inhibition: looked at again at `next_at_us`."""
    SUPPRESSED = "suppressed"
    """Will never be sent, for the reason in `detail`."""
    DEAD = "dead"
    """Cannot be delivered: listed for a person, who may replay it."""
    DISABLED = "disabled"
    """The receiver said it is no more (410)."""


FINAL: Final = frozenset({Outcome.DELIVERED, Outcome.SUPPRESSED, Outcome.DEAD, Outcome.DISABLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A row in the hands of one worker until `lease_until_us`.

    `attempt` is one more than the RETRY outcomes recorded so far: a silence eats no retries.
    `announced` are the incidents of this notification whose firing this receiver was told of.
    """

    notification: Notification
    worker: str
    lease_until_us: int
    attempt: int = 1
    announced: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The outcome of one claim. `next_at_us` is None exactly for the final outcomes."""

    outcome: Outcome
    at_us: int
    detail: str
    """One sentence for a person; never the receiver's words, never a secret."""
    next_at_us: int | None = None
    status: int | None = None
    """HTTP status of the answer; None when there was none."""

    def __post_init__(self) -> None:
        """Refuse a retry without a time and an end with one, by `ValueError`."""
        if (self.next_at_us is None) != (self.outcome in FINAL):
            raise ValueError(f"{self.outcome} with next_at_us={self.next_at_us} makes no sense")


class NotificationStore(Protocol):
    """Where notifications wait. Thread-safe; every call is one transaction, durable on return."""

    def add(self, notifications: Sequence[Notification]) -> int:
        """Keep notifications, in order; an id that is already there is left alone.

        Returns how many were new. (The service adds them in the transaction of the transitions.)
        """
        ...

    def claim(
        self, now_us: int, worker: str, *, lease_us: int, exclude: Collection[str] = ()
    ) -> Claim | None:
        """Lease the oldest row that is due to `worker`; None = nothing is due.

        One row at a time: a row is leased only when a thread is free to send it, so a slow
        receiver never holds the leases of rows that nobody is sending.
        """
        ...

    def finish(self, claim: Claim, result: Result) -> bool:
        """Record how a claim ended and let it go; false = the lease was no longer held."""
        ...
