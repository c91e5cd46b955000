"""Where each replica is in its life: judged from its engine's newest sample, kept as rows."""

from __future__ import annotations

import pytest

from service.fleet.replica_states import ReplicaStates, last_samples
from service.store.errors import StoreUnavailable
from telemetry.frame import Frame
from telemetry.identity import Vantage
from telemetry.samples import EngineSample, ReplicaState
from telemetry.units import MICROS_PER_SECOND as S

NOW = 1_700_000_000 * S


def sample(at_us, replica="r", **more):
    return EngineSample(at_us=at_us, replica=replica, host="h", engine="vllm", **more)


def frame(*samples):
    return Frame.of("engine_samples", samples)


def test_the_newest_sample_of_the_engine_itself_counts():
    found = last_samples(
        frame(
            sample(3, up=False),
            sample(2),
            sample(9, vantage=Vantage.EDGE),
            sample(1, "q", state=ReplicaState.STARTING, stage="weights"),
        )
    )
    assert (found["r"].at_us, found["r"].up) == (3, False)
    assert (found["q"].declared, found["q"].stage) == (ReplicaState.STARTING, "weights")


def test_states_are_kept_and_taken_up_again(kept):
    states = ReplicaStates(kept.fleet)
    assert states.step(frame(sample(NOW)), (), NOW)["r"].state is ReplicaState.READY
    again = ReplicaStates(kept.fleet)
    assert again.step(frame(sample(NOW, up=False)), (), NOW + S)["r"].state is ReplicaState.READY
    lost = again.step(frame(sample(NOW + 20 * S, up=False)), (), NOW + 20 * S)
    assert lost["r"].state is ReplicaState.LOST
    (row,) = kept.fleet.replicas()
    assert (row.state, row.detail) == (ReplicaState.LOST, "its agent answers, its engine does not")


def test_silence_is_unknown_and_never_ready(kept):
    states = ReplicaStates(kept.fleet)
    states.step(frame(sample(NOW)), (), NOW)
    assert states.step(frame(), (), NOW + 60 * S)["r"].state is ReplicaState.UNKNOWN


def test_a_stall_is_a_state(kept):
    lives = ReplicaStates(kept.fleet).step(frame(sample(NOW)), {"r"}, NOW)
    assert lives["r"].state is ReplicaState.STALLED


def test_a_change_that_could_not_be_written_is_written_later(kept, monkeypatch):
    def away(_standings):
        raise StoreUnavailable("no")

    states = ReplicaStates(kept.fleet)
    monkeypatch.setattr(kept.fleet, "keep_replicas", away)
    with pytest.raises(StoreUnavailable):
        states.step(frame(sample(NOW)), (), NOW)
    monkeypatch.undo()
    states.step(frame(sample(NOW)), (), NOW + S)
    assert [row.state for row in kept.fleet.replicas()] == [ReplicaState.READY]
