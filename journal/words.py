"""The journal's words: what goes in, what comes out, what bounds it, how it is doing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A batch as it is appended; (agent, boot, seq) is its identity for ever.

    `received_at_us` is UTC microseconds: sealing time in an agent, receipt in the service.
    """

    agent: str
    boot: str
    seq: int
    received_at_us: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Sealed):
    """A batch as it is read. `entry_id` grows with every append and never comes back.

    Ids have holes, and a fresh journal does not begin at 1: it begins at the milliseconds
    since 1970, so that ids also grow across a journal that was lost.
    """

    entry_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A batch that a reader could not process, kept for a person. `size` is of its body, bytes."""

    entry_id: int
    reader: str
    reason: str
    agent: str
    boot: str
    seq: int
    received_at_us: int
    size: int


class Outcome(StrEnum):
    """What became of an appended batch; both mean that it is durable and may be acknowledged."""

    STORED = "stored"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every bound of a journal.

    `max_bytes` is further bounded by 80 % of what the disk can give. At half of that, or when
    the oldest batch has waited `max_lag_seconds` for a reader (None = however long), appends
    are refused with `JournalFull`. With `drop_oldest` nothing is refused: at the whole bound
    the oldest batches are dropped and counted, and lag does not matter.
    """

    max_bytes: int = 2048 * MIB
    max_lag_seconds: float | None = 60.0
    drop_oldest: bool = False
    ballast_bytes: int = 64 * MIB
    """Size of the file that is given up when the disk is full, so that trimming can go on."""
    group_delay_seconds: float = 0.002
    """How long a commit waits for company; also the price of a lone append."""
    group_batches: int = 256
    pending_bytes: int = 64 * MIB
    """Bodies handed to `append` and not yet committed; beyond it appends are refused."""
    quarantine_batches: int = 1_000
    quarantine_bytes: int = 64 * MIB
    gaps_per_sender: int = 1_000
    """Ranges remembered of one (agent, boot); beyond it the oldest gap is given up, counted."""
    boots_per_agent: int = 1_000
    """Boots remembered of one agent; beyond it the one heard longest ago is forgotten, counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What happened since the journal was opened. All are batches unless named otherwise."""

    stored: int = 0
    duplicates: int = 0
    refused: int = 0
    dropped: int = 0
    """Given up by `drop_oldest`."""
    dropped_bytes: int = 0
    damaged: int = 0
    """Failed their checksum when read; quarantined."""
    quarantined: int = 0
    """Put into quarantine, damaged ones included."""
    quarantine_dropped: int = 0
    """Fell out of the bounded quarantine."""
    gaps_given_up: int = 0
    """Sequence numbers that were never received and now count as duplicates."""
    boots_forgotten: int = 0
    set_aside: int = 0
    """Malformed files renamed to `*.malformed-N` and replaced by fresh ones."""
    salvaged: int = 0
    """Batches carried over from files set aside."""
    disk_full: int = 0
    """Commits that the disk refused."""

    def plus(self, **more: int) -> Counts:
        """Return the counts with `more` added, by name."""
        return replace(self, **{name: getattr(self, name) + by for name, by in more.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderStats:
    """One reader: its cursor, and at most how many batches lie beyond it (ids have holes)."""

    name: str
    cursor: int
    behind: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The journal at one moment. `lag_seconds` is how long the oldest batch has waited, 0 = none."""

    head: int
    batches: int
    used_bytes: int
    bound_bytes: int
    lag_seconds: float
    readers: tuple[ReaderStats, ...]
    quarantined: int
    """Batches in quarantine now."""
    ballast: bool
    """False while the ballast is given up: the disk is or was full."""
    commit_p50_us: int | None
    """Of the last 1,024 commits, fsync included; None = none yet."""
    commit_p99_us: int | None
    counts: Counts
