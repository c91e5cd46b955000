"""Where a replica is in its life, from what was last seen of it."""

from __future__ import annotations

import pytest

from anomalies.states import LastSample, Life, live
from telemetry.samples import ReplicaState

SECOND = 1_000_000
R = ReplicaState


def walk(*seen):
    """Step through (now in seconds, sample or None, stalled); return the last life."""
    life = None
    for now, last, stalled in seen:
        life = live(life, last, stalled=stalled, now_us=now * SECOND)
    return life


def up(at, declared=R.UNKNOWN, **more):
    return LastSample(at_us=at * SECOND, up=True, declared=declared, **more)


def down(at):
    return LastSample(at_us=at * SECOND, up=False)


def test_what_was_never_heard_of_is_unknown():
    assert walk((0, None, False)).state is R.UNKNOWN


def test_an_engine_that_answers_is_ready():
    assert walk((1, up(1), False)).state is R.READY


@pytest.mark.parametrize("declared", [R.STARTING, R.DRAINING, R.PAUSED])
def test_what_an_engine_says_of_itself_stands(declared):
    life = walk((1, up(1, declared, stage="weights"), False))
    assert life.state is declared
    assert life.stage == ("weights" if declared is R.STARTING else None)


def test_an_open_stall_makes_it_stalled_and_recovery_ready():
    assert walk((1, up(1), False), (2, up(2), True)).state is R.STALLED
    assert walk((1, up(1), False), (2, up(2), True), (3, up(3), False)).state is R.READY


def test_silence_is_unknown_not_well():
    life = walk((1, up(1), True), (30, up(1), True))
    assert life.state is R.UNKNOWN


def test_an_engine_that_stopped_answering_is_lost_after_a_while():
    assert walk((1, up(1), False), (5, down(5), False)).state is R.READY
    assert walk((1, up(1), False), (5, down(5), False), (20, down(20), False)).state is R.LOST


def test_an_engine_that_never_answered_is_not_lost():
    assert walk((5, down(5), False), (60, down(60), False)).state is R.UNKNOWN


def test_lost_stays_lost_while_nothing_is_heard():
    assert (
        walk((1, up(1), False), (5, down(5), False), (20, down(20), False), (900, None, False)).state
        is R.LOST
    )


def test_a_replica_that_is_back_is_ready_with_its_new_epoch():
    life = walk(
        (1, up(1), False), (5, down(5), False), (20, down(20), False), (30, up(30, epoch_us=7), False)
    )
    assert life.state is R.READY and life.epoch_us == 7 and life.down_since_us is None


def test_the_state_keeps_its_beginning():
    assert walk((1, up(1), False), (2, up(2), False), (3, up(3), False)).since_us == SECOND


def test_stepping_again_changes_nothing():
    life = walk((1, up(1), False))
    assert live(life, up(1), stalled=False, now_us=SECOND) == life
    assert isinstance(life, Life)
