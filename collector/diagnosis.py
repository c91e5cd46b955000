"""What a finding of the doctor is, and how it looks at what may hang."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

T = TypeVar("T")

DRIVER_SECONDS: Final = 10.0
"""How long a driver may take to answer before it is said to hang."""


class Status(StrEnum):
    """How a check came out: as it should be, works in part, does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: what was looked at, how it came out, a sentence, what to do (empty = nothing)."""

    name: str
    status: Status
    sentence: str
    hint: str = ""


def ended(error: Exception) -> str:
    """Return what an error says as a sentence; some end with a question of their own."""
    return str(error) if str(error).endswith("?") else f"{error}."


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return what `work` returns; raises `TimeoutError` and leaves it behind when it hangs."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - carried over to the caller
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future.result(seconds)
