"""Where readings come from, and what one attempt to read brings back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from telemetry.columns import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How one attempt went, told apart from what it brought.

    `ok` false says nothing about the thing measured, only that we could not look; `error` is
    the sentence for a person (operation, subject, cause, hint), None when ok.
    """

    source: str
    at_us: int
    took_us: int
    ok: bool
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Data and health of one attempt. `records` is empty when nothing was measured."""

    records: tuple[Record, ...]
    health: Health


@runtime_checkable
class Source(Protocol):
    """One thing that is read on a schedule: a GPU, an engine, a simulated fleet.

    `read` is called from one thread of its own with a deadline; it may block, and must not
    raise: a failure is a `Reading` whose health says so.
    """

    name: str

    def read(self, now_us: int) -> Reading:
        """Read once. `now_us` is the UTC instant the rows will carry, in microseconds."""
        ...

    def close(self) -> None:
        """Release what the source holds; called once, also after a failure."""
        ...
