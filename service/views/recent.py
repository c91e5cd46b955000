"""Answers kept until the next evaluation: a hundred open pages ask the stores once, not a hundred times."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

MOST: Final = 64
"""Most questions remembered; the one asked longest ago goes first."""
Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Kept(Generic[Answer]):
    lock: threading.Lock = field(default_factory=threading.Lock)
    stamp: Hashable = None
    answer: list[Answer] = field(default_factory=list)
    """One answer, or none yet."""


class Recent(Generic[Answer]):
    """Answers by question. Thread-safe: of those who ask the same at once one finds out, the rest wait."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, _Kept[Answer]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, question: Hashable, stamp: Hashable, find_out: Callable[[], Answer]) -> Answer:
        """Return the answer kept under this stamp, else what `find_out` returns; its errors are not kept."""
        with self._lock:
            kept = self._kept.setdefault(question, _Kept())
            self._kept.move_to_end(question)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        with kept.lock:
            if not kept.answer or kept.stamp != stamp:
                kept.answer = [find_out()]
                kept.stamp = stamp
            return kept.answer[0]
