"""The rules of `alerts.ports` that every store of notifications keeps."""

from __future__ import annotations

import pytest

from alerts.ports import Outcome, Result

LEASE = 100


def result(outcome=Outcome.DELIVERED, *, again=None):
    return Result(outcome=outcome, at_us=0, detail="why", next_at_us=again)


def claim(store, now_us=0, worker="w", exclude=()):
    return store.claim(now_us, worker, lease_us=LEASE, exclude=exclude)


def test_nothing_is_due_in_an_empty_store(store):
    assert claim(store) is None


def test_a_claimed_row_is_nobody_elses(store, told):
    store.add([told()])
    assert claim(store).notification == told()
    assert claim(store, worker="other") is None


def test_a_row_comes_back_when_its_lease_runs_out(store, told):
    store.add([told()])
    claim(store)
    assert claim(store, now_us=LEASE - 1, worker="other") is None
    assert claim(store, now_us=LEASE, worker="other").attempt == 1


def test_an_outcome_after_the_lease_was_taken_over_changes_nothing(store, told):
    store.add([told()])
    slow = claim(store)
    fast = claim(store, now_us=LEASE, worker="other")
    assert not store.finish(slow, result())
    assert store.finish(fast, result())
    assert claim(store, now_us=10 * LEASE) is None


def test_an_outcome_is_recorded_once(store, told):
    store.add([told()])
    held = claim(store)
    assert store.finish(held, result()) and not store.finish(held, result())


def test_adding_again_is_nothing_new(store, told):
    assert store.add([told(1), told(2)]) == 2
    assert store.add([told(1), told(3)]) == 1


def test_a_retry_waits_for_its_time_and_counts(store, told):
    store.add([told()])
    store.finish(claim(store), result(Outcome.RETRY, again=50))
    assert claim(store, now_us=49) is None
    assert claim(store, now_us=50).attempt == 2


def test_being_held_back_eats_no_retry(store, told):
    store.add([told()])
    store.finish(claim(store), result(Outcome.DEFERRED, again=50))
    assert claim(store, now_us=50).attempt == 1


def test_a_lane_offers_only_its_oldest_unfinished_row(store, told):
    store.add([told(1), told(2, resolved=True)])
    firing = claim(store)
    assert firing.notification.id == "msg_1" and claim(store) is None
    store.finish(firing, result(Outcome.RETRY, again=50))
    assert claim(store, now_us=49) is None, "the resolve does not overtake"
    store.finish(claim(store, now_us=50), result())
    assert claim(store, now_us=51).notification.id == "msg_2"


def test_lanes_do_not_wait_for_each_other(store, told):
    store.add([told(1, lane="hook/a"), told(2, lane="hook/b")])
    assert {claim(store).notification.id, claim(store).notification.id} == {"msg_1", "msg_2"}


def test_an_excluded_receiver_is_passed_over(store, told):
    store.add([told(1, lane="x/a", receiver="x"), told(2, lane="y/a", receiver="y")])
    assert claim(store, exclude={"x"}).notification.receiver == "y"


def test_a_firing_that_was_delivered_is_announced(store, told):
    store.add([told(1), told(2, resolved=True)])
    first = claim(store)
    assert first.announced == frozenset()
    store.finish(first, result())
    assert claim(store).announced == {"inc"}


def test_a_firing_that_was_suppressed_is_not_announced(store, told):
    store.add([told(1), told(2, resolved=True)])
    store.finish(claim(store), result(Outcome.SUPPRESSED))
    assert claim(store).announced == frozenset()


def test_announced_to_one_receiver_is_not_announced_to_another(store, told):
    store.add([told(1, lane="x/a", receiver="x")])
    store.finish(claim(store), result())
    store.add([told(2, lane="y/a", receiver="y", resolved=True)])
    assert claim(store).announced == frozenset()


def test_a_disabled_receivers_rows_wait(store, told):
    store.add([told(1, lane="hook/a"), told(2, lane="hook/b")])
    store.finish(claim(store), result(Outcome.DISABLED))
    assert claim(store, now_us=10 * LEASE) is None
    store.enable("hook")
    assert claim(store, now_us=10 * LEASE).notification.id == "msg_2"


def test_a_dead_row_can_be_replayed(store, told):
    store.add([told()])
    store.finish(claim(store), result(Outcome.DEAD))
    assert claim(store, now_us=10 * LEASE) is None
    store.replay("msg_1", 10 * LEASE)
    assert claim(store, now_us=10 * LEASE).attempt == 1


@pytest.mark.parametrize(("outcome", "again"), [(Outcome.RETRY, None), (Outcome.DELIVERED, 5)])
def test_a_retry_has_a_time_and_an_end_has_none(outcome, again):
    with pytest.raises(ValueError, match="makes no sense"):
        result(outcome, again=again)
