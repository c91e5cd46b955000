"""Series of counts, `100x60 0x10 _x5 100`: one number an interval, `x` says how often it comes.

`_` is an interval without traffic.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from service.objectives.section import NotThatError
from telemetry.frame import Ints

MOST_VALUES: Final = 100_000
LARGEST: Final = 10**9
_ITEM: Final = re.compile(r"(_|\d{1,10})(?:x(\d{1,6}))?")


def counts(text: str) -> Ints:
    """Return the numbers of a series; raises `NotThatError` naming the item that is wrong."""
    found: list[Ints] = []
    for item in text.split():
        match = _ITEM.fullmatch(item)
        if match is None:
            raise NotThatError(f"{item!r} is not a count", "write counts such as 100x60 0x10 _x5")
        value = 0 if match[1] == "_" else int(match[1])
        if value > LARGEST:
            raise NotThatError(f"{item!r} is over {LARGEST:,} an interval", "write less")
        found.append(np.full(int(match[2] or 1), value, dtype=np.int64))
    if sum(map(len, found)) > MOST_VALUES:
        raise NotThatError(f"a series of over {MOST_VALUES:,} values", "use a longer interval")
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
