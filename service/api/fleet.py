"""Who is out there: the agents as they were heard, and the GPUs that should report."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from service.api.callers import Admin, Reader, TheService
from service.clock import now_us
from service.store.notes import AuditEntry

router = APIRouter(prefix="/api/v1", tags=["fleet"])


class AgentAnswer(BaseModel):
    """One agent; its name is that of its token."""

    name: str
    host: str
    boot: str
    software: str
    seen_us: int
    """Receipt of its last batch, UTC microseconds by our clock."""
    stopped: bool
    """Whether its newest batch says that it was stopped: then its silence is no alert."""
    clock_offset_us: int | None
    """Its clock minus ours, too low by its fastest delivery; null = not known."""


class GpuAnswer(BaseModel):
    """A GPU that is expected to report until it is retired."""

    gpu_uuid: str
    host: str
    gpu_model: str | None
    since_us: int


@router.get("/agents")
def agents(service: TheService, _caller: Reader) -> list[AgentAnswer]:
    """Return every agent that was ever heard, by name."""
    fields = AgentAnswer.model_fields
    return [AgentAnswer(**{name: getattr(agent, name) for name in fields}) for agent in service.seen.agents()]


@router.get("/gpus")
def gpus(service: TheService, _caller: Reader) -> list[GpuAnswer]:
    """Return the GPUs that are expected to report, by host. One query."""
    fields = GpuAnswer.model_fields
    return [
        GpuAnswer(**{name: getattr(gpu, name) for name in fields}) for gpu in service.state.fleet.expected()
    ]


@router.delete("/gpus/{gpu_uuid:path}", status_code=204)
def retire(gpu_uuid: str, service: TheService, caller: Admin) -> None:
    """Expect a GPU no longer: it is not billed while silent, and its absence is no alert."""
    at_us = now_us()
    if not service.state.fleet.retire(gpu_uuid, now_us=at_us):
        raise HTTPException(404, f"no expected GPU is called {gpu_uuid!r}")
    service.state.audit.add(
        AuditEntry(at_us=at_us, who=caller.name, action="retire gpu", subject=gpu_uuid, detail={})
    )
