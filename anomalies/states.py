"""Where each replica is in its life: a pure step from what was last seen of it.

Absence is its own state: a replica that nobody hears of is unknown (the agent is silent), one
whose engine the agent cannot reach is lost. Neither is ever read as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from telemetry.samples import ReplicaState
from telemetry.units import MICROS_PER_SECOND

DECLARED: Final = (ReplicaState.STARTING, ReplicaState.DRAINING, ReplicaState.PAUSED)
"""States that only the engine or its operator can know; they stand as declared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait before silence means something. Microseconds."""

    unknown_after_us: int = 10 * MICROS_PER_SECOND
    """No sample at all for this long: unknown."""
    lost_after_us: int = 15 * MICROS_PER_SECOND
    """Sampled, but down for this long after it had been ready: lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSample:
    """The newest sample of a replica's engine; `declared` is the state it gives itself."""

    at_us: int
    up: bool
    declared: ReplicaState = ReplicaState.UNKNOWN
    stage: str | None = None
    epoch_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """A replica's state: a row. `was_ready` tells a start that failed from a loss."""

    state: ReplicaState = ReplicaState.UNKNOWN
    since_us: int
    stage: str | None = None
    epoch_us: int | None = None
    down_since_us: int | None = None
    was_ready: bool = False


def live(
    before: Life | None,
    seen: LastSample | None,
    *,
    stalled: bool,
    now_us: int,
    patience: Patience | None = None,
) -> Life:
    """Return a replica's state at `now_us`.

    `seen` None = never heard of. `stalled` = a finding of a stall class is open on it. A lost
    replica stays lost while nothing is heard; a silent one becomes unknown, never ready.
    """
    patience = patience or Patience()
    before = before or Life(since_us=now_us)
    if seen is None or now_us - seen.at_us > patience.unknown_after_us:
        lost = before.state is ReplicaState.LOST
        return before if lost else _enter(before, ReplicaState.UNKNOWN, now_us)
    if not seen.up:
        return _down(before, seen, now_us, patience)
    before = replace(before, down_since_us=None, epoch_us=seen.epoch_us, stage=None)
    if seen.declared in DECLARED:
        starting = seen.declared is ReplicaState.STARTING
        return _enter(replace(before, stage=seen.stage if starting else None), seen.declared, now_us)
    state = ReplicaState.STALLED if stalled else ReplicaState.READY
    return _enter(replace(before, was_ready=True), state, now_us)


def _down(before: Life, seen: LastSample, now_us: int, patience: Patience) -> Life:
    """The agent answers and the engine does not: lost after a while, if it ever served."""
    down_since = seen.at_us if before.down_since_us is None else before.down_since_us
    before = replace(before, down_since_us=down_since)
    if before.was_ready and now_us - down_since >= patience.lost_after_us:
        return _enter(before, ReplicaState.LOST, now_us)
    return before


def _enter(before: Life, state: ReplicaState, now_us: int) -> Life:
    return before if before.state is state else replace(before, state=state, since_us=now_us)
