"""The disk a journal lies on: how much it may take, and the ballast that is given up when it is full."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FREE_SHARE: Final = (4, 5)
"""A journal takes at most 80 % of what the disk could give it."""
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def free_bytes(folder: Path) -> int:
    """Return what an ordinary user may still write to the disk of `folder`, in bytes."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def bound_bytes(max_bytes: int, *, free: int, own: int) -> int:
    """Return the bound of a journal that holds `own` bytes on a disk with `free` bytes left."""
    share, of = FREE_SHARE
    return min(max_bytes, (free + own) * share // of)


@dataclass(slots=True)
class Ballast:
    """A file of `size` bytes that holds a place on the disk; size 0 = no ballast.

    Deleting rows from SQLite needs room to write first, so on a full disk nothing could be
    trimmed: then the ballast goes (`give_up`), and comes back when there is twice its size.
    """

    path: Path
    size: int
    given_up: bool = False

    @property
    def present(self) -> bool:
        """Tell whether the place is held now."""
        return self.path.exists()

    def hold(self) -> None:
        """Take the place if it is not held and the disk has plenty; otherwise change nothing."""
        if not self.size or self.present:
            return
        if free_bytes(self.path.parent) < 2 * self.size:
            return
        try:
            with self.path.open("xb") as file:
                os.posix_fallocate(file.fileno(), 0, self.size)
        except FileExistsError:
            return  # another thread was faster
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self.path.unlink(missing_ok=True)
            return
        self.given_up = False

    def give_up(self) -> None:
        """Free the place: the disk is full."""
        self.path.unlink(missing_ok=True)
        self.given_up = self.size > 0
