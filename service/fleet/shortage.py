"""Hosts with fewer GPUs than their agents expect, as conditions: a GPU never seen has no name to miss it by.

It ends when the agent says that all are there, or when no agent of the host is expected any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

import numpy as np

from alerts.state import Alert
from telemetry.condition import Condition, Holds, Severity
from telemetry.events import EventKind
from telemetry.frame import Frame

GPUS_SHORT: Final = "gpus_short"


def conditions(events: Frame, hosts: Collection[str], standing: Sequence[Alert]) -> Iterator[Condition]:
    """Yield what the agents of the last minutes said last of their hosts, and the ends of open alerts.

    `hosts` are those whose agent should be heard; `standing` are the alerts that are open.
    """
    kinds, told = events.texts("kind"), events.texts("host")
    codes = events.numbers("code")
    inventory = (kinds.equals(EventKind.GPU_LOST) | kinds.equals(EventKind.GPU_BACK)) & codes.valid
    rows = np.flatnonzero(inventory & (events.texts("gpu_uuid").codes < 0) & (told.codes >= 0))
    in_order = rows[np.argsort(events.numbers("at_us").values[rows], kind="stable")]
    newest = {told.words[told.codes[row]]: row for row in in_order}
    messages = events.texts("message")
    for host, row in newest.items():
        if host in hosts:
            nameless = int(codes.values[row])
            yield _condition(
                host,
                since_us=int(events.numbers("at_us").values[row]) if nameless else None,
                said=messages.words[messages.codes[row]] if nameless else "",
            )
    for alert in standing:
        if alert.name == GPUS_SHORT and alert.labels["host"] not in hosts:
            yield _condition(alert.labels["host"])


def _condition(host: str, *, since_us: int | None = None, said: str = "") -> Condition:
    """Return the condition of a host; it holds since an instant, None = it does not."""
    return Condition(
        name=GPUS_SHORT,
        labels={"host": host},
        severity=Severity.TICKET,
        holds=Holds.NO if since_us is None else Holds.YES,
        since_us=since_us,
        annotations={"summary": f"Host {host}: {said}."} if said else {},
    )
