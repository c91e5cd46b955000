"""A really full disk: appends are refused with a time to come back, nothing acknowledged is lost.

The disk is a small tmpfs where we may mount one, and everywhere a file-size limit of the kernel's.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from journal import JournalFull, Limits

MIB = 1024 * 1024


class SmallDisk:
    """A tmpfs of 32 MiB."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="inferometer-disk-"))
        mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(self.folder)]
        self.mounted = (
            shutil.which("mount") is not None
            and not subprocess.run(mount, capture_output=True, check=False).returncode
        )

    def fill(self) -> None:
        free = os.statvfs(self.folder).f_bavail * os.statvfs(self.folder).f_frsize
        with (self.folder / "filler").open("wb") as file:
            file.write(b"x" * free)

    def free(self) -> None:
        (self.folder / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        if self.mounted:
            subprocess.run(["umount", str(self.folder)], check=True)
        self.folder.rmdir()


class FileSizeLimit:
    """No file may grow beyond what the largest is now and a little."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        largest = max(file.stat().st_size for file in self.folder.iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (max(largest, MIB), self.before[1]))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)

    def close(self) -> None:
        self.free()


def _mountable() -> bool:
    disk = SmallDisk()
    mounted = disk.mounted
    disk.close()
    return mounted


MOUNTABLE = os.geteuid() == 0 and _mountable()


@pytest.fixture(params=["file-size limit", *(["tmpfs"] if MOUNTABLE else [])])
def disk(request, tmp_path) -> Iterator[SmallDisk | FileSizeLimit]:
    disk = SmallDisk() if request.param == "tmpfs" else FileSizeLimit(tmp_path)
    yield disk
    disk.close()


@pytest.fixture
def journal(disk, open_journal) -> Iterator:
    journal = open_journal(Limits(ballast_bytes=2 * MIB, max_lag_seconds=None), at=disk.folder / "journal.db")
    yield journal
    disk.free()
    journal.close()
    for file in disk.folder.glob("*"):
        file.unlink()


def _append_until_refused(journal, sealed, start):
    """Return the seqs that were taken and the refusal."""
    taken = []
    for seq in range(start, start + 400):
        error = journal.append(sealed(seq, body=os.urandom(30_000))).exception(10)
        if error is not None:
            return taken, error
        taken.append(seq)
    raise AssertionError("the disk was never full")


def test_appends_are_refused_and_what_was_taken_is_kept(disk, journal, sealed, append_all, seqs):
    append_all(journal, [sealed(seq, body=os.urandom(30_000)) for seq in range(50)])
    disk.fill()
    taken, error = _append_until_refused(journal, sealed, 100)
    assert isinstance(error, JournalFull)
    assert error.retry_after_seconds >= 1
    assert seqs(journal.read(0)) == [*range(50), *taken]


def test_appends_go_on_when_there_is_room_again(disk, journal, sealed, append_all, seqs):
    append_all(journal, [sealed(seq) for seq in range(5)])
    disk.fill()
    taken, _ = _append_until_refused(journal, sealed, 100)
    disk.free()
    for reader in ("store", "fold"):
        journal.advance(reader, journal.head())
    deadline = time.monotonic() + 10
    while journal.append(sealed(1_000)).exception(10) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert seqs(journal.read(0)) == [1_000]
    repeats = [sealed(seq) for seq in [0, 4, *taken[:1]]]
    assert set(append_all(journal, repeats)) == {"duplicate"}


if MOUNTABLE:

    @pytest.fixture
    def tmpfs() -> Iterator[SmallDisk]:
        disk = SmallDisk()
        yield disk
        disk.close()

    @pytest.fixture
    def small(tmpfs, open_journal) -> Iterator:
        journal = open_journal(
            Limits(ballast_bytes=4 * MIB, max_lag_seconds=None), at=tmpfs.folder / "journal.db"
        )
        yield journal
        journal.close()
        for file in tmpfs.folder.glob("*"):
            file.unlink()

    def test_the_ballast_makes_trimming_possible_and_comes_back(tmpfs, small, sealed, append_all):
        append_all(small, [sealed(seq, body=os.urandom(30_000)) for seq in range(100)])
        assert small.stats().ballast
        tmpfs.fill()
        _append_until_refused(small, sealed, 1_000)
        for reader in ("store", "fold"):
            small.advance(reader, small.head())
        assert small.stats().counts.disk_full > 0
        assert not small.stats().ballast
        assert small.cursor("store") == small.head()
        assert isinstance(small.append(sealed(2_000)).exception(10), JournalFull)
        tmpfs.free()
        deadline = time.monotonic() + 10
        while not small.stats().ballast and time.monotonic() < deadline:
            time.sleep(0.05)
        assert append_all(small, [sealed(2_000)]) == ["stored"]

    def test_a_journal_opens_on_a_full_disk(tmpfs, small, open_journal, sealed, append_all, seqs):
        append_all(small, [sealed(seq) for seq in range(20)])
        small.close()
        tmpfs.fill()
        again = open_journal(Limits(ballast_bytes=4 * MIB), at=tmpfs.folder / "journal.db")
        assert seqs(again.read(0)) == list(range(20))
        again.advance("store", again.head())
        again.close()

    def test_a_spool_on_a_full_disk_makes_room_by_dropping_the_oldest(
        tmpfs, open_journal, sealed, append_all
    ):
        limits = Limits(ballast_bytes=4 * MIB, drop_oldest=True)
        spool = open_journal(limits, readers=("ship",), at=tmpfs.folder / "spool.db")
        append_all(spool, [sealed(seq, body=os.urandom(30_000)) for seq in range(200)])
        tmpfs.fill()
        append_all(spool, [sealed(seq, body=os.urandom(30_000)) for seq in range(200, 600)])
        newest = spool.read_newest(None, 1)
        assert newest[0].seq == 599
        assert spool.stats().counts.dropped > 0
        spool.close()
        for file in tmpfs.folder.glob("*"):
            file.unlink()
