"""What the agent must not forget when it restarts, in one small file of its data directory.

Who the GPUs are, what stands against them, how far the kernel log was read, and which reports
the other route has not confirmed yet. Written whole or not at all.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from collector.growing_file import Position
from collector.hardware.policies import Verdict
from collector.hardware.reports import Report, Route

log = logging.getLogger(__name__)

FILE_NAME: Final = "hardware.json"
MAX_KEYS: Final = 1_024
"""GPUs, troubles and counted codes that are kept, each; no host has as many."""

_VERSION: Final = 1


@dataclass(slots=True, kw_only=True)
class KnownGpu:
    """A GPU as last read: its PCI address (`bus_key`), its energy counter, the driver's verdict.

    `recovery` is true while the driver asks for a reset or more; None = never told.
    """

    bus: str | None = None
    energy_millijoules: int | None = None
    recovery: bool | None = None


@dataclass(slots=True, kw_only=True)
class Trouble:
    """An Xid that stands against a GPU until there is evidence that it is over.

    `boot` is the host's boot in which it happened.
    """

    gpu: str
    code: int
    verdict: Verdict
    since_us: int
    last_us: int
    boot: str


@dataclass(slots=True, kw_only=True)
class Memory:
    """Everything kept. `counts` are Xids by (GPU, code) since the file was begun."""

    gpus: dict[str, KnownGpu] = field(default_factory=dict)
    troubles: dict[tuple[str, int], Trouble] = field(default_factory=dict)
    counts: dict[tuple[str, int], int] = field(default_factory=dict)
    last_us: dict[tuple[str, int], int] = field(default_factory=dict)
    position: Position | None = None
    alone: list[Report] = field(default_factory=list)

    def text(self) -> str:
        """Return it as the file's text."""
        body = {
            "version": _VERSION,
            "gpus": {uuid: asdict(gpu) for uuid, gpu in self.gpus.items()},
            "troubles": [asdict(trouble) for trouble in self.troubles.values()],
            "counts": [
                [gpu, code, count, self.last_us[gpu, code]] for (gpu, code), count in self.counts.items()
            ],
            "position": asdict(self.position) if self.position else None,
            "alone": [asdict(report) for report in self.alone],
        }
        return json.dumps(body, indent=1) + "\n"


def save(path: Path, text: str) -> None:
    """Write the file, whole or not at all. Raises `OSError`."""
    written = path.with_suffix(".new")
    written.write_text(text)
    os.replace(written, path)  # noqa: PTH105 - Path.replace is the same call, less plainly atomic


class UnreadableError(Exception):
    """The file cannot be understood; the message says why."""


def look(path: Path) -> Memory:
    """Return what was kept, changing nothing; empty when nothing was. Raises `UnreadableError`."""
    try:
        return _parsed(json.loads(path.read_text()))
    except FileNotFoundError:
        return Memory()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnreadableError(f"read {path}: {error}") from None


def load(path: Path) -> Memory:
    """Return what was kept; empty when nothing was. A file that cannot be read is set aside, said aloud."""
    try:
        return look(path)
    except UnreadableError as fault:
        log.warning("%s; it is set aside and begun anew", fault)
        _set_aside(path)
        return Memory()


def _parsed(body: dict[str, Any]) -> Memory:
    if body["version"] != _VERSION:
        raise ValueError(f"version {body['version']} is not {_VERSION}")
    memory = Memory(
        gpus={str(uuid): KnownGpu(**gpu) for uuid, gpu in body["gpus"].items()},
        position=Position(**body["position"]) if body["position"] else None,
        alone=[Report(**{**raw, "route": Route(raw["route"])}) for raw in body["alone"]],
    )
    for raw in body["troubles"]:
        trouble = Trouble(**{**raw, "verdict": Verdict(raw["verdict"])})
        memory.troubles[trouble.gpu, trouble.code] = trouble
    for gpu, code, count, last_us in body["counts"]:
        memory.counts[str(gpu), int(code)] = int(count)
        memory.last_us[str(gpu), int(code)] = int(last_us)
    return memory


def _set_aside(path: Path) -> None:
    try:
        path.replace(path.with_suffix(".unreadable"))
    except OSError:
        log.warning("%s cannot be set aside", path)
