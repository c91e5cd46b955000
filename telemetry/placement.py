"""What runs where: the fact that joins a GPU with a replica."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PlacementSource(StrEnum):
    """How a placement is known, strongest first; a weaker one never overrides a stronger."""

    CONFIGURATION = "configuration"
    POD_RESOURCES = "pod_resources"
    PROCESS = "process"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A replica held a GPU from `at_us` until `until_us` (None = still does).

    A GPU that no placement names is unmapped: it is said so, never guessed.
    """

    at_us: int
    replica: str
    gpu_uuid: str
    host: str
    model: str | None = None
    pool: str | None = None
    region: str | None = None
    until_us: int | None = None
    source: PlacementSource = PlacementSource.CONFIGURATION
    confidence_ratio: float = 1.0
