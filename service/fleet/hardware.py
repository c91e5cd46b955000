"""GPUs that need hands, as conditions: the driver asks for recovery, or an Xid stands against one.

The agent says what an Xid means (its policy) and when it is over (its evidence): here its word is
taken. Neither condition ends by absence: what the driver asks for ends when it asks for nothing
in a good sample, an Xid when its GPU was reset, or when nobody expects the GPU any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

import numpy as np

from alerts.state import Alert
from collector.hardware.sentences import said_verdict
from telemetry.condition import Condition, Holds, Severity
from telemetry.events import EventKind
from telemetry.frame import Frame

GPU_RECOVERY: Final = "gpu_recovery"
GPU_XID: Final = "gpu_xid"

ACTIONS: Final = {
    1: "a reset of the GPU",
    2: "a reboot of the node",
    3: "that its peer-to-peer work is drained",
    4: "that it is drained and reset",
    5: "a restart of IMEX",
    6: "a reset of the bus",
    7: "a reboot of the system",
}
"""What NVML's field "GPU recovery action" asks for, by number."""


def conditions(
    gpu_samples: Frame, events: Frame, expected: Collection[str], standing: Sequence[Alert]
) -> list[Condition]:
    """Return the conditions of the GPUs in the last minutes, and the end of those that are over.

    `expected` are the UUIDs of GPUs that should be there; `standing` are the alerts that are open.
    """
    found = [*_recovery(gpu_samples), *_xids(events, standing)]
    told = {(condition.name, *condition.labels.values()) for condition in found}
    gone = [
        _over(alert)
        for alert in standing
        if alert.name in (GPU_RECOVERY, GPU_XID)
        and alert.labels["gpu_uuid"] not in expected
        and (alert.name, *alert.labels.values()) not in told
    ]
    return [*found, *gone]


def _recovery(gpu_samples: Frame) -> Iterator[Condition]:
    """Yield what the driver asks for in the newest sample of each GPU that tells it."""
    actions = gpu_samples.numbers("recovery_action")
    at_us = gpu_samples.numbers("at_us").values
    uuids, hosts = gpu_samples.texts("gpu_uuid"), gpu_samples.texts("host")
    rows = np.flatnonzero(actions.valid)
    newest_first = rows[np.argsort(at_us[rows], kind="stable")[::-1]]
    _, first = np.unique(uuids.codes[newest_first], return_index=True)
    for row in newest_first[first]:
        uuid, host = uuids.words[uuids.codes[row]], hosts.words[hosts.codes[row]]
        action = int(actions.values[row])
        asks = ACTIONS.get(action, f"recovery {action}")
        yield Condition(
            name=GPU_RECOVERY,
            labels={"gpu_uuid": uuid, "host": host},
            severity=Severity.TICKET,
            holds=Holds.YES if action else Holds.NO,
            since_us=int(at_us[row]) if action else None,
            annotations={"summary": f"The driver of GPU {uuid} on {host} asks for {asks}."} if action else {},
        )


def _xids(events: Frame, standing: Sequence[Alert]) -> Iterator[Condition]:
    """Yield every Xid that stands by its own words and was not followed by a reset of its GPU."""
    resets, seen = _told(events)
    for (uuid, host, code), (at_us, message) in seen.items():
        if at_us >= resets.get(uuid, 0):
            yield Condition(
                name=GPU_XID,
                labels={"gpu_uuid": uuid, "host": host, "code": str(code)},
                severity=Severity.TICKET,
                holds=Holds.YES,
                since_us=at_us,
                annotations={"summary": f"GPU {uuid} on {host}: {message}."},
            )
    for alert in standing:
        reset_us = resets.get(alert.labels.get("gpu_uuid", ""))
        if alert.name == GPU_XID and reset_us is not None and reset_us > (alert.since_us or 0):
            yield _over(alert)


def _told(events: Frame) -> tuple[dict[str, int], dict[tuple[str, str, int], tuple[int, str]]]:
    """Return when each GPU was last reset, and the newest standing Xid by GPU, host and code."""
    kinds = events.texts("kind")
    rows = np.flatnonzero(kinds.equals(EventKind.XID) | kinds.equals(EventKind.GPU_RESET))
    columns = [events.texts(name).take(rows).listed() for name in ("kind", "gpu_uuid", "host", "message")]
    numbers = [events.numbers(name).take(rows).values.tolist() for name in ("at_us", "code")]
    resets: dict[str, int] = {}
    seen: dict[tuple[str, str, int], tuple[int, str]] = {}
    for kind, uuid, host, message, at_us, code in zip(*columns, *numbers, strict=True):
        if uuid is None:
            continue
        verdict = said_verdict(message or "") if kind == EventKind.XID else None
        if kind == EventKind.GPU_RESET:
            resets[uuid] = max(at_us, resets.get(uuid, 0))
        elif verdict is not None and verdict.stands:
            key = (uuid, host or "", code)
            seen[key] = max((at_us, message or ""), seen.get(key, (0, "")))
    return resets, seen


def _over(alert: Alert) -> Condition:
    return Condition(name=alert.name, labels=alert.labels, severity=alert.severity, holds=Holds.NO)
