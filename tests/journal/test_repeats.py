"""Whatever is appended, trimmed and reopened in whatever order: each identity is stored once."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from journal import Journal, Limits, Sealed

LIMITS = Limits(ballast_bytes=0, group_delay_seconds=0.0)
APPEND = st.tuples(st.just("append"), st.sampled_from("ab"), st.integers(0, 12))
STEPS = st.lists(st.one_of(APPEND, APPEND, APPEND, st.just(("trim",)), st.just(("reopen",))), max_size=40)


def _batch(boot: str, seq: int) -> Sealed:
    return Sealed(agent="alice", boot=boot, seq=seq, received_at_us=seq, body=f"{boot}{seq}".encode())


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_outcomes_are_those_of_a_plain_set(steps):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        journal = Journal.open(path, LIMITS, readers=("store",))
        seen: set[tuple[str, int]] = set()
        kept: list[tuple[str, int]] = []
        for action, *identity in steps:
            if action == "append":
                expected = "duplicate" if tuple(identity) in seen else "stored"
                assert journal.append(_batch(*identity)).result(10) == expected
                kept += [tuple(identity)] if expected == "stored" else []
                seen.add(tuple(identity))
            elif action == "trim":
                journal.advance("store", journal.head())
                kept = []
            else:
                journal.close()
                journal = Journal.open(path, LIMITS, readers=("store",))
            assert [(entry.boot, entry.seq) for entry in journal.read(0)] == kept
        journal.close()
