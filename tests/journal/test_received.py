"""The set of sequence numbers as ranges behaves as a plain set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from journal.received import Received

SEQS = st.lists(st.integers(0, 40), max_size=60)


@given(SEQS)
def test_it_tells_a_repeat_from_a_first_as_a_set_does(seqs):
    received, plain = Received(), set()
    for seq in seqs:
        grown = received.plus(seq)
        assert (grown is None) == (seq in plain)
        received = grown or received
        plain.add(seq)
    assert {seq for seq in range(42) if seq in received} == plain


@given(SEQS)
def test_its_ranges_are_sorted_apart_and_beyond_the_contiguous_part(seqs):
    received = Received()
    for seq in seqs:
        received = received.plus(seq) or received
    edge = received.contiguous
    for first, last in received.beyond:
        assert edge + 1 < first <= last
        edge = last


@given(SEQS)
def test_it_comes_back_from_its_text(seqs):
    received = Received()
    for seq in seqs:
        received = received.plus(seq) or received
    assert Received.of(received.contiguous, received.gaps()) == received


@given(SEQS, st.integers(1, 5))
def test_giving_gaps_up_never_turns_a_repeat_into_a_first(seqs, gaps):
    received, plain = Received(), set()
    for seq in seqs:
        received = received.plus(seq) or received
        plain.add(seq)
    bounded, given_up = received.bounded(gaps)
    assert len(bounded.beyond) <= gaps
    assert all(seq in bounded for seq in plain)
    assert given_up == sum(seq in bounded for seq in range(42)) - len(plain)
