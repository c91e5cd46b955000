"""Waiting for processes, with a deadline."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import httpx

_BEHIND = re.compile(r"^inferometer_service_(?:fold|store)_behind_batches (\S+)$", re.MULTILINE)


def until(done: Callable[[], bool], seconds: float, what: str) -> None:
    """Return once `done` says so. Raises `TimeoutError` naming what did not come about."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"within {seconds:g} s it did not come about that {what}")
        time.sleep(0.1)


def caught_up(url: str) -> bool:
    """Tell whether a service has folded and stored every batch in its journal."""
    try:
        page = httpx.get(f"{url}/metrics", timeout=10).text
    except httpx.HTTPError:
        return False
    behind = [float(value) for value in _BEHIND.findall(page)]
    return len(behind) == 2 and not any(behind)
