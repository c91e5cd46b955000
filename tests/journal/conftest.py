"""Journals in a temporary folder, closed at the end, and batches to put into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from journal import Entry, Journal, Limits, Sealed

SMALL = Limits(ballast_bytes=0, group_delay_seconds=0.0005)


def _sealed(seq: int, *, agent: str = "alice", boot: str = "boot-1", body: bytes | None = None) -> Sealed:
    at_us = 1_700_000_000_000_000 + seq
    return Sealed(
        agent=agent, boot=boot, seq=seq, received_at_us=at_us, body=body or b"body-%06d-" % seq * 20
    )


@pytest.fixture
def sealed() -> Callable[..., Sealed]:
    """Return a maker of batches: `sealed(seq, agent=, boot=, body=)`."""
    return _sealed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def open_journal(path: Path) -> Iterator[Callable[..., Journal]]:
    """Return an opener: `open_journal(limits, readers=, path=)`; what it opened is closed at the end."""
    opened: list[Journal] = []

    def opener(limits: Limits = SMALL, *, readers=("store", "fold"), at: Path = path) -> Journal:
        opened.append(Journal.open(at, limits, readers=readers))
        return opened[-1]

    yield opener
    for journal in opened:
        journal.close()


@pytest.fixture
def journal(open_journal: Callable[..., Journal]) -> Journal:
    return open_journal()


@pytest.fixture
def append_all() -> Callable[..., list[str]]:
    """Return an appender that waits for every outcome."""

    def append_all(journal: Journal, batches: list[Sealed]) -> list[str]:
        futures = [journal.append(batch) for batch in batches]
        return [str(future.result(10)) for future in futures]

    return append_all


@pytest.fixture
def seqs() -> Callable[[list[Entry]], list[int]]:
    return lambda entries: [entry.seq for entry in entries]
