"""What the simulator says of itself over HTTP: its fleet, its GPUs, its faults.

Dataclasses on both sides of the wire; pydantic writes and checks the JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from simulator.faults import Fault, FaultKind
from simulator.gpus import GpuTotals
from simulator.specs import FleetSpec, GpuModel, GpuPlace
from telemetry.units import micros

MAX_FAULT_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReport:
    """One GPU as the simulator sees it: identity, kind, integrals, whether it is lost."""

    place: GpuPlace
    model: GpuModel
    totals: GpuTotals
    lost: bool


FLEET: Final = TypeAdapter(FleetSpec)
GPUS: Final = TypeAdapter(tuple[GpuReport, ...])
FAULTS: Final = TypeAdapter(tuple[Fault, ...])


class FaultOrder(BaseModel):
    """The body of `POST /simulated/fault`: seconds from now, and for how long."""

    model_config = ConfigDict(extra="forbid")

    kind: FaultKind
    replica: str | None = Field(default=None, max_length=200)
    pool: str | None = Field(default=None, max_length=200)
    gpu: int = Field(default=0, ge=0)
    after_s: float = Field(default=0.0, ge=0.0, le=MAX_FAULT_SECONDS)
    for_s: float = Field(default=30.0, gt=0.0, le=MAX_FAULT_SECONDS)

    def fault(self, now_us: int) -> Fault:
        """Return the fault in UTC microseconds. Raises `FaultError` for a missing target."""
        start_us = now_us + micros(self.after_s)
        return Fault(
            kind=self.kind,
            start_us=start_us,
            end_us=start_us + max(1, micros(self.for_s)),
            replica=self.replica,
            pool=self.pool,
            gpu=self.gpu,
        )
