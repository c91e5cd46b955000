"""The KV cache of one engine: blocks that are free, held, kept for reuse, or leaked.

Guarantee: free + held + idle + leaked = capacity after every call, none below zero. Blocks of a
shared prefix that no request uses stay cached but can be taken at any time, oldest first; they
are not pressure (as in vLLM, usage counts what running requests hold).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

PrefixKey = tuple[str, int]
"""A prefix's text (any name for it) and its length in whole blocks."""


@dataclass(slots=True, eq=False)
class Prefix:
    """Cached blocks of a shared prefix and how many requests read them now."""

    key: PrefixKey
    users: int = 0

    @property
    def blocks(self) -> int:
        """How many blocks it takes."""
        return self.key[1]


class BlockPool:
    """Counts blocks; which request holds how many is the request's to know."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.free = capacity
        self.leaked = 0
        self.idle = 0
        """Blocks of prefixes nobody reads now."""
        self.leaking = False
        """While true, released blocks never become free: the leak of class A6."""
        self._prefixes: OrderedDict[PrefixKey, Prefix] = OrderedDict()

    @property
    def available(self) -> int:
        """Blocks that can be taken now."""
        return self.free + self.idle

    @property
    def usage_ratio(self) -> float:
        """Share of blocks that are held or leaked, 0..1."""
        return (self.capacity - self.available) / self.capacity

    def take(self, blocks: int) -> bool:
        """Take blocks, dropping idle prefixes where needed; false takes none."""
        if blocks > self.available:
            return False
        while self.free < blocks:
            self._drop_oldest_idle()
        self.free -= blocks
        return True

    def give(self, blocks: int) -> None:
        """Give back blocks that `take` took."""
        if self.leaking:
            self.leaked += blocks
        else:
            self.free += blocks

    def reclaim(self) -> None:
        """Make leaked blocks free again, as the end of the leak's cause does."""
        self.free += self.leaked
        self.leaked = 0

    def read(self, key: PrefixKey) -> Prefix | None:
        """Return a cached prefix, now read by one more request; None when it is not cached."""
        prefix = self._prefixes.get(key)
        if prefix is not None:
            if prefix.users == 0:
                self.idle -= prefix.blocks
            prefix.users += 1
            self._prefixes.move_to_end(key)
        return prefix

    def keep(self, key: PrefixKey) -> Prefix | None:
        """Turn blocks that the caller holds into a cached prefix it reads.

        None when the prefix is cached already (two requests computed it at once): the caller
        then goes on holding its own.
        """
        if key in self._prefixes:
            return None
        prefix = self._prefixes[key] = Prefix(key, users=1)
        return prefix

    def leave(self, prefix: Prefix) -> None:
        """Note that one request no longer reads a prefix; the last leaves it idle."""
        prefix.users -= 1
        if prefix.users == 0:
            self.idle += prefix.blocks

    def _drop_oldest_idle(self) -> None:
        oldest = next(prefix for prefix in self._prefixes.values() if prefix.users == 0)
        del self._prefixes[oldest.key]
        self.idle -= oldest.blocks
        self.free += oldest.blocks
