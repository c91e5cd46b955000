"""How long a batch has been waiting, by a monotonic clock: no clock step makes a journal refuse."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

_MARKS: Final = 4_096


class Waiting:
    """Remembers about when ids were appended.

    Batches from before the journal was opened count from its opening. At most 4,096 marks are
    kept; an age is never below the truth, at most a second above it for the last half hour, and
    coarser the older it is. One thread.
    """

    def __init__(self, now: float) -> None:
        self._marks: list[tuple[int, float]] = [(-1, now)]

    def note(self, first_id: int, now: float) -> None:
        """Remember that `first_id` is appended at `now` (monotonic seconds)."""
        if now - self._marks[-1][1] < 1:
            return
        self._marks.append((first_id, now))
        if len(self._marks) > _MARKS:
            self._marks = self._marks[:-1:2] + self._marks[-1:]

    def seconds(self, oldest_id: int | None, now: float) -> float:
        """Return how long `oldest_id` has waited; None (nothing waits) gives 0.

        Forgets what lies before it: ask with ids that only grow.
        """
        if oldest_id is None:
            self._marks = [(-1, now)]
            return 0.0
        passed = bisect_right(self._marks, oldest_id, key=lambda mark: mark[0]) - 1
        del self._marks[:passed]
        return now - self._marks[0][1]
