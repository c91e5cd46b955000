"""What can go wrong with a store: a small tree. Messages say operation, subject, cause, hint."""

from __future__ import annotations


class StoreError(Exception):
    """The root. `permanent` true = trying the same again cannot succeed."""

    permanent = False


class StoreUnavailable(StoreError):  # noqa: N818 - a state of affairs, not a fault of the call
    """The store cannot be reached or is short of something (disk, memory, time): try later."""


class StoreBusy(StoreError):  # noqa: N818 - as above
    """Every connection was in use for as long as the caller was willing to wait."""


class StoreRefused(StoreError):  # noqa: N818 - as above
    """The store will never take this: wrong kind, unknown column, a statement that is none."""

    permanent = True


class StoreUnsafe(StoreError):  # noqa: N818 - as above
    """The store would lose acknowledged facts, or its schema is not the one this code knows."""

    permanent = True
