"""GPUs that need hands, as conditions: recovery is asked for, an Xid stands, or it works but is not well.

The agent says what an Xid means (its policy) and when it is over (its evidence): here its word is
taken. No condition ends by absence: what a sample tells ends when a good sample tells otherwise,
an Xid when its GPU was reset or a later one takes it back, and each when nobody expects the GPU any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from alerts.state import Alert
from collector.hardware.concerns import LASTING_COLUMNS, SLOWDOWNS, lasting, recovery, slowdown
from collector.hardware.policies import Verdict
from collector.hardware.sentences import said_verdict
from collector.hardware.xids import TAKES_BACK
from telemetry.condition import Condition, Holds, Severity
from telemetry.events import EventKind
from telemetry.frame import Frame, Ints
from telemetry.samples import GpuSample

GPU_RECOVERY: Final = "gpu_recovery"
GPU_XID: Final = "gpu_xid"
GPU_DEGRADED: Final = "gpu_degraded"
SLOW_SAMPLES: Final = 60
"""Samples with cut clocks, half or more of those of the last minutes, that make a GPU a slow one."""
_NAMES: Final = (GPU_RECOVERY, GPU_XID, GPU_DEGRADED)
_ALL_SLOWDOWNS: Final = sum(SLOWDOWNS)


def conditions(
    gpu_samples: Frame, events: Frame, expected: Collection[str], standing: Sequence[Alert]
) -> list[Condition]:
    """Return the conditions of the GPUs in the last minutes, and the end of those that are over.

    `expected` are the UUIDs of GPUs that should be there; `standing` are the alerts that are open.
    """
    found = [*_recovery(gpu_samples), *_degraded(gpu_samples), *_xids(events, standing)]
    told = {(condition.name, *condition.labels.values()) for condition in found}
    gone = [
        _over(alert)
        for alert in standing
        if alert.name in _NAMES
        and alert.labels["gpu_uuid"] not in expected
        and (alert.name, *alert.labels.values()) not in told
    ]
    return [*found, *gone]


def _recovery(gpu_samples: Frame) -> Iterator[Condition]:
    """Yield what the driver asks for in the newest sample of each GPU that tells it."""
    actions = gpu_samples.numbers("recovery_action")
    for row in _newest(gpu_samples, np.flatnonzero(actions.valid)):
        asked = recovery(int(actions.values[row]))
        yield _condition(GPU_RECOVERY, gpu_samples, row, [asked] if asked else [])


def _degraded(gpu_samples: Frame) -> Iterator[Condition]:
    """Yield what is wrong with each GPU that works: by its newest sample, and by how long it was slow."""
    columns = {name: gpu_samples.numbers(name) for name in LASTING_COLUMNS}
    told = np.any([column.valid for column in columns.values()], axis=0)
    reasons = gpu_samples.numbers("event_reasons")
    slow = _slow(gpu_samples)
    for row in _newest(gpu_samples, np.flatnonzero(told | reasons.valid)):
        newest = {name: column.values[row] for name, column in columns.items() if column.valid[row]}
        code = gpu_samples.texts("gpu_uuid").codes[row]
        faults = lasting(GpuSample(at_us=0, gpu_uuid="", host="", **newest))
        yield _condition(GPU_DEGRADED, gpu_samples, row, [*faults, *slow.get(code, ())])


def _slow(gpu_samples: Frame) -> dict[int, list[str]]:
    """Return what has cut the clocks of each GPU for most of the last minutes, by the code of its UUID."""
    reasons, codes = gpu_samples.numbers("event_reasons"), gpu_samples.texts("gpu_uuid").codes
    told = reasons.valid & (codes >= 0)
    cut = told & ((reasons.values.astype(np.int64) & _ALL_SLOWDOWNS) != 0)
    seen, held = (np.bincount(codes[rows]) for rows in (told, cut))
    often = np.flatnonzero((held >= SLOW_SAMPLES) & (2 * held >= seen[: len(held)]))
    return {
        int(code): [said]
        for code in often
        if (said := slowdown(int(np.bitwise_or.reduce(reasons.values[cut & (codes == code)]))))
    }


def _newest(gpu_samples: Frame, rows: Ints) -> Ints:
    """Return, of some rows, the newest of each GPU."""
    at_us, codes = gpu_samples.numbers("at_us").values, gpu_samples.texts("gpu_uuid").codes
    newest_first = rows[np.argsort(at_us[rows], kind="stable")[::-1]]
    _, first = np.unique(codes[newest_first], return_index=True)
    return newest_first[first]


def _condition(name: str, gpu_samples: Frame, row: int, wrong: Sequence[str]) -> Condition:
    """Return a condition about the GPU of a row; it holds while something is wrong."""
    uuids, hosts = gpu_samples.texts("gpu_uuid"), gpu_samples.texts("host")
    uuid, host = uuids.words[uuids.codes[row]], hosts.words[hosts.codes[row]]
    return Condition(
        name=name,
        labels={"gpu_uuid": uuid, "host": host},
        severity=Severity.TICKET,
        holds=Holds.YES if wrong else Holds.NO,
        since_us=int(gpu_samples.numbers("at_us").values[row]) if wrong else None,
        annotations={"summary": f"GPU {uuid} on {host}: {'; '.join(wrong)}."} if wrong else {},
    )


@dataclass(frozen=True, slots=True)
class _Word:
    """What an agent said of an Xid, and when."""

    at_us: int
    verdict: Verdict
    message: str


def _xids(events: Frame, standing: Sequence[Alert]) -> Iterator[Condition]:
    """Yield every Xid that stands by its own words, and the end of those that were reset or taken back."""
    resets, words = _told(events)
    for (uuid, host, code), word in words.items():
        if word.verdict.stands and word.at_us >= resets.get(uuid, 0):
            yield Condition(
                name=GPU_XID,
                labels={"gpu_uuid": uuid, "host": host, "code": code},
                severity=Severity.TICKET,
                holds=Holds.YES,
                since_us=word.at_us,
                annotations={"summary": f"GPU {uuid} on {host}: {word.message}."},
            )
    for alert in standing:
        if alert.name == GPU_XID and _ended_us(alert, resets, words) > (alert.since_us or 0):
            yield _over(alert)


def _ended_us(alert: Alert, resets: Mapping[str, int], words: Mapping[tuple[str, ...], _Word]) -> int:
    """Return when the Xid of an alert was last reset or taken back; 0 = neither was told."""
    uuid, host, code = (alert.labels.get(name, "") for name in ("gpu_uuid", "host", "code"))
    word = words.get((uuid, host, code))
    return max(resets.get(uuid, 0), 0 if word is None or word.verdict.stands else word.at_us)


def _told(events: Frame) -> tuple[dict[str, int], dict[tuple[str, ...], _Word]]:
    """Return when each GPU was last reset, and the newest word on each Xid by GPU, host and code."""
    kinds = events.texts("kind")
    rows = np.flatnonzero(kinds.equals(EventKind.XID) | kinds.equals(EventKind.GPU_RESET))
    columns = [events.texts(name).take(rows).listed() for name in ("kind", "gpu_uuid", "host", "message")]
    numbers = [events.numbers(name).take(rows).values.tolist() for name in ("at_us", "code")]
    resets: dict[str, int] = {}
    words: dict[tuple[str, ...], _Word] = {}
    for kind, uuid, host, message, at_us, code in zip(*columns, *numbers, strict=True):
        if uuid is None:
            continue
        verdict = said_verdict(message or "") if kind == EventKind.XID else None
        if kind == EventKind.GPU_RESET:
            resets[uuid] = max(at_us, resets.get(uuid, 0))
        elif verdict is not None:
            key = (uuid, host or "", str(TAKES_BACK.get(code, code)))
            if key not in words or words[key].at_us <= at_us:
                words[key] = _Word(at_us, verdict, message or "")
    return resets, words


def _over(alert: Alert) -> Condition:
    return Condition(name=alert.name, labels=alert.labels, severity=alert.severity, holds=Holds.NO)
