"""The rules of `alerts.ports` that every store of notifications keeps."""

from __future__ import annotations

import pytest

from alerts.ports import Outcome, Result

LEASE = 100


def result(outcome=Outcome.DELIVERED, *, again=None):
    return Result(outcome=outcome, at_us=0, detail="why", next_at_us=again)


def claim(every_store, now_us=0, worker="w", exclude=()):
    return every_store.claim(now_us, worker, lease_us=LEASE, exclude=exclude)


def test_nothing_is_due_in_an_empty_store(every_store):
    assert claim(every_store) is None


def test_a_claimed_row_is_nobody_elses(every_store, told):
    every_store.add([told()])
    assert claim(every_store).notification == told()
    assert claim(every_store, worker="other") is None


def test_a_row_comes_back_when_its_lease_runs_out(every_store, told):
    every_store.add([told()])
    claim(every_store)
    assert claim(every_store, now_us=LEASE - 1, worker="other") is None
    assert claim(every_store, now_us=LEASE, worker="other").attempt == 1


def test_an_outcome_after_the_lease_was_taken_over_changes_nothing(every_store, told):
    every_store.add([told()])
    slow = claim(every_store)
    fast = claim(every_store, now_us=LEASE, worker="other")
    assert not every_store.finish(slow, result())
    assert every_store.finish(fast, result())
    assert claim(every_store, now_us=10 * LEASE) is None


def test_an_outcome_is_recorded_once(every_store, told):
    every_store.add([told()])
    held = claim(every_store)
    assert every_store.finish(held, result()) and not every_store.finish(held, result())


def test_adding_again_is_nothing_new(every_store, told):
    assert every_store.add([told(1), told(2)]) == 2
    assert every_store.add([told(1), told(3)]) == 1


def test_a_retry_waits_for_its_time_and_counts(every_store, told):
    every_store.add([told()])
    every_store.finish(claim(every_store), result(Outcome.RETRY, again=50))
    assert claim(every_store, now_us=49) is None
    assert claim(every_store, now_us=50).attempt == 2


def test_being_held_back_eats_no_retry(every_store, told):
    every_store.add([told()])
    every_store.finish(claim(every_store), result(Outcome.DEFERRED, again=50))
    assert claim(every_store, now_us=50).attempt == 1


def test_a_lane_offers_only_its_oldest_unfinished_row(every_store, told):
    every_store.add([told(1), told(2, resolved=True)])
    firing = claim(every_store)
    assert firing.notification.id == "msg_1" and claim(every_store) is None
    every_store.finish(firing, result(Outcome.RETRY, again=50))
    assert claim(every_store, now_us=49) is None, "the resolve does not overtake"
    every_store.finish(claim(every_store, now_us=50), result())
    assert claim(every_store, now_us=51).notification.id == "msg_2"


def test_lanes_do_not_wait_for_each_other(every_store, told):
    every_store.add([told(1, lane="hook/a"), told(2, lane="hook/b")])
    assert {claim(every_store).notification.id, claim(every_store).notification.id} == {"msg_1", "msg_2"}


def test_an_excluded_receiver_is_passed_over(every_store, told):
    every_store.add([told(1, lane="x/a", receiver="x"), told(2, lane="y/a", receiver="y")])
    assert claim(every_store, exclude={"x"}).notification.receiver == "y"


def test_a_firing_that_was_delivered_is_announced(every_store, told):
    every_store.add([told(1), told(2, resolved=True)])
    first = claim(every_store)
    assert first.announced == frozenset()
    every_store.finish(first, result())
    assert claim(every_store).announced == {"inc"}


def test_a_firing_that_was_suppressed_is_not_announced(every_store, told):
    every_store.add([told(1), told(2, resolved=True)])
    every_store.finish(claim(every_store), result(Outcome.SUPPRESSED))
    assert claim(every_store).announced == frozenset()


def test_announced_to_one_receiver_is_not_announced_to_another(every_store, told):
    every_store.add([told(1, lane="x/a", receiver="x")])
    every_store.finish(claim(every_store), result())
    every_store.add([told(2, lane="y/a", receiver="y", resolved=True)])
    assert claim(every_store).announced == frozenset()


def test_a_disabled_receivers_rows_wait(every_store, told):
    every_store.add([told(1, lane="hook/a"), told(2, lane="hook/b")])
    every_store.finish(claim(every_store), result(Outcome.DISABLED))
    assert claim(every_store, now_us=10 * LEASE) is None
    every_store.enable("hook")
    assert claim(every_store, now_us=10 * LEASE).notification.id == "msg_2"


def test_a_dead_row_can_be_replayed(every_store, told):
    every_store.add([told()])
    every_store.finish(claim(every_store), result(Outcome.DEAD))
    assert claim(every_store, now_us=10 * LEASE) is None
    every_store.replay("msg_1", 10 * LEASE)
    assert claim(every_store, now_us=10 * LEASE).attempt == 1


@pytest.mark.parametrize(("outcome", "again"), [(Outcome.RETRY, None), (Outcome.DELIVERED, 5)])
def test_a_retry_has_a_time_and_an_end_has_none(outcome, again):
    with pytest.raises(ValueError, match="makes no sense"):
        result(outcome, again=again)
