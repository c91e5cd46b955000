"""Where each replica is in its life, judged at every evaluation and kept as rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np

from anomalies.states import LastSample, Life, live
from service.store.fleet import Fleet, ReplicaStanding
from telemetry.frame import Frame
from telemetry.identity import Vantage
from telemetry.samples import ReplicaState

_WORDS: Final = {
    ReplicaState.UNKNOWN: "nothing is heard of it",
    ReplicaState.STALLED: "requests wait and nothing moves",
    ReplicaState.LOST: "its agent answers, its engine does not",
}


class ReplicaStates:
    """The state of every replica heard of. Belongs to the evaluator's thread."""

    def __init__(self, fleet: Fleet) -> None:
        """Take up the states as they were kept. One query."""
        self._fleet = fleet
        self._lives = {
            kept.replica: Life(
                state=kept.state,
                since_us=kept.since_us,
                was_ready=kept.state not in (ReplicaState.UNKNOWN, ReplicaState.STARTING),
            )
            for kept in fleet.replicas()
        }

    def step(self, engine_samples: Frame, stalled: Collection[str], now_us: int) -> Mapping[str, Life]:
        """Return every replica's state now; writes those that changed, in one transaction.

        In memory nothing moves before that has succeeded.
        """
        seen, before = last_samples(engine_samples), self._lives
        lives = {
            replica: live(before.get(replica), seen.get(replica), stalled=replica in stalled, now_us=now_us)
            for replica in sorted(before.keys() | seen.keys())
        }
        changed = [
            self._standing(replica, life, now_us)
            for replica, life in lives.items()
            if replica not in before or before[replica].state is not life.state
        ]
        if changed:
            self._fleet.keep_replicas(changed)
        self._lives = lives
        return lives

    def _standing(self, replica: str, life: Life, now_us: int) -> ReplicaStanding:
        return ReplicaStanding(
            replica=replica,
            state=life.state,
            since_us=life.since_us,
            updated_at_us=now_us,
            detail=life.stage or _WORDS.get(life.state, ""),
        )


def last_samples(engine_samples: Frame) -> dict[str, LastSample]:
    """Return the newest sample of each replica's own engine in a frame."""
    own = engine_samples.take(engine_samples.texts("vantage").equals(Vantage.ENGINE))
    order = np.argsort(own.numbers("at_us").values, kind="stable")[::-1]
    newest = own.take(order)
    _, first = np.unique(newest.texts("replica").codes, return_index=True)
    latest = newest.take(first)
    columns = zip(
        latest.texts("replica").listed(),
        latest.numbers("at_us").values.tolist(),
        latest.numbers("up").values.tolist(),
        latest.texts("state").listed(),
        latest.texts("stage").listed(),
        strict=True,
    )
    return {
        replica: LastSample(
            at_us=at_us, up=bool(up), declared=ReplicaState(state or ReplicaState.UNKNOWN), stage=stage
        )
        for replica, at_us, up, state, stage in columns
        if replica is not None
    }
