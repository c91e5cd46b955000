"""Which GPU serves which replica, as the agent's configuration says it."""

from __future__ import annotations

from collector.settings import Settings
from telemetry.placement import Placement, PlacementSource


def configured(settings: Settings, now_us: int) -> list[Placement]:
    """Return a placement for every GPU that the settings give to a replica; empty = none given."""
    return [
        Placement(
            at_us=now_us,
            replica=str(target.replica(settings.host, rank)),
            gpu_uuid=uuid,
            host=settings.host,
            model=target.model,
            pool=target.pool,
            region=settings.region,
            source=PlacementSource.CONFIGURATION,
        )
        for target in settings.engines
        for rank in range(target.ranks)
        for uuid in target.gpus_of(rank)
    ]
