"""The fleet as cells: every GPU that is heard of or expected, under its replica and pool."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from anomalies.finding import latest
from anomalies.frame import ReplicaFrame
from anomalies.states import Life
from telemetry.frame import Frame
from telemetry.identity import UNMAPPED
from telemetry.units import MICROS_PER_SECOND

HEARD_US: Final = 30 * MICROS_PER_SECOND
"""A GPU whose newest sample is older than this is not heard of."""
IDLE_RATIO: Final = 0.05
"""Below this SM activity a GPU does next to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the fleet now: fresh samples, the last evaluation, who should be there."""

    gpu_samples: Frame
    """Samples of the last `HEARD_US`."""
    frame: ReplicaFrame | None
    states: Mapping[str, Life]
    expected: Sequence[str]
    """GPUs that should be reporting."""


def pools(known: Known) -> list[dict[str, Any]]:
    """Return pools with their GPUs, each as it was last heard; what no replica holds is unmapped.

    Ratios are 0..1. `up` false = the driver says the GPU is lost, None = not heard of.
    """
    heard = _newest(known.gpu_samples)
    replicas = {} if known.frame is None else dict(_replicas(known.frame, known.states))
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    placed: set[str] = set()
    for replica in replicas.values():
        gpus = replica.pop("gpus")
        placed.update(gpus)
        cells = [_cell(uuid, heard.get(uuid)) for uuid in gpus]
        found[replica["pool"]].append(replica | {"gpus": cells})
    stray = sorted((heard.keys() | set(known.expected)) - placed)
    if stray:
        cells = [_cell(uuid, heard.get(uuid)) for uuid in stray]
        nobody = {"replica": "", "state": "unknown", "running": None, "waiting": None, "kv": None}
        found[UNMAPPED].append(nobody | {"pool": UNMAPPED, "gpus": cells})
    return [_pool(name, members) for name, members in sorted(found.items())]


def _newest(samples: Frame) -> dict[str, dict[str, Any]]:
    """Return the newest sample of each GPU: numpy over rows, Python over GPUs."""
    uuid, at = samples.texts("gpu_uuid"), samples.numbers("at_us").values
    order = np.lexsort((at, uuid.codes))
    last = order[np.flatnonzero(np.diff(uuid.codes[order], append=-9))] if len(order) else order
    names = {"busy": "kernel_busy_ratio", "sm": "sm_activity_ratio", "up": "up"}
    read = {short: samples.numbers(column).take(last) for short, column in names.items()}
    found = {}
    for at_row, code in enumerate(uuid.codes[last]):
        cell = {
            short: column.values[at_row].item() if column.valid[at_row] else None
            for short, column in read.items()
        }
        found[uuid.words[code]] = cell | {"up": None if cell["up"] is None else bool(cell["up"])}
    return found


def _cell(uuid: str, heard: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"uuid": uuid, **(heard or {"busy": None, "sm": None, "up": None})}


def _replicas(frame: ReplicaFrame, states: Mapping[str, Life]) -> Iterable[tuple[str, dict[str, Any]]]:
    last = frame.grid.steps - 1
    for row, replica in enumerate(frame.replicas):
        state = states[replica].state if replica in states else frame.states[row]
        queue = {
            "running": latest(frame.running, row, last),
            "waiting": latest(frame.waiting, row, last),
            "kv": latest(frame.kv_usage, row, last),
        }
        yield (
            replica,
            {
                "replica": replica,
                "pool": frame.pools[row],
                "model": frame.models[row],
                "state": state.value,
                "gpus": frame.gpus[row],
                **queue,
            },
        )


def _pool(name: str, members: list[dict[str, Any]]) -> dict[str, Any]:
    members.sort(key=lambda member: member["replica"])
    cells = [gpu for member in members for gpu in member["gpus"]]
    return {
        "pool": name,
        "model": next((member["model"] for member in members if "model" in member), None),
        "replicas": members,
        "gpus": len(cells),
        "heard": sum(gpu["up"] is not None for gpu in cells),
        "lost": sum(gpu["up"] is False for gpu in cells),
        "sm": _mean([gpu["sm"] for gpu in cells]),
        "busy": _mean([gpu["busy"] for gpu in cells]),
        "running": _total([member["running"] for member in members]),
        "waiting": _total([member["waiting"] for member in members]),
        "idle_while_waiting": sum(_idle_beside_a_queue(member) for member in members),
    }


def _idle_beside_a_queue(member: Mapping[str, Any]) -> int:
    """Return how many GPUs of a replica do nothing while requests wait there."""
    if not member["waiting"]:
        return 0
    return sum(gpu["sm"] is not None and gpu["sm"] < IDLE_RATIO for gpu in member["gpus"])


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(sum(known)) if known else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
