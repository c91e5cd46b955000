"""How long to wait before trying again: exponential, capped, with full jitter."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """Delays in seconds between 0 and a limit that doubles from `first` to `most`.

    Full jitter: agents that lost one service together do not come back together. With
    `jitter` false the limit itself is the delay. Not thread-safe; one caller owns it.
    """

    first: float
    most: float
    jitter: bool = True
    _limit: float = field(default=0.0, init=False)

    def next(self) -> float:
        """Return the next delay in seconds and double the limit."""
        self._limit = min(self.most, self._limit * 2 if self._limit else self.first)
        return random.uniform(self.first / 2, self._limit) if self.jitter else self._limit  # noqa: S311

    def reset(self) -> None:
        """Begin again at `first`, after a success."""
        self._limit = 0.0
