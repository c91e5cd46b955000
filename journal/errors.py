"""What can go wrong with a journal. Each message says operation, subject, cause and hint."""

from __future__ import annotations


class JournalError(Exception):
    """The root. `permanent` false = the same call may succeed later."""

    permanent = False


class JournalFull(JournalError):  # noqa: N818 - an answer (429), not a fault
    """The batch was not taken, and nothing changed: offer it again after `retry_after_seconds`."""

    def __init__(self, cause: str, *, retry_after_seconds: float) -> None:
        super().__init__(f"append: {cause}; offer the batch again in {retry_after_seconds:g} s")
        self.retry_after_seconds = retry_after_seconds


class JournalFault(JournalError):  # noqa: N818 - told apart by what the caller does next
    """SQLite or the disk refused an operation; nothing of it was kept."""


class JournalLocked(JournalError):  # noqa: N818 - as above
    """Another process holds the journal."""

    permanent = True


class JournalClosed(JournalError):  # noqa: N818 - as above
    """The journal is closed or closing."""

    permanent = True
