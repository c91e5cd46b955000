"""Who is out there: agents heard, GPUs expected, and the state of each replica."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import select, update

from service.store.database import Database, insert_once, upsert
from service.store.schema import agents, expected_gpus, replica_states
from telemetry.samples import ReplicaState


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSeen:
    """An agent as its last batch described it. `clock_offset_us`: host clock minus ours, if known."""

    name: str
    host: str
    boot: str
    software: str
    last_seen_us: int
    clock_offset_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedGpu:
    """A GPU that should be reporting, since when, and until when (None = still)."""

    gpu_uuid: str
    host: str
    gpu_model: str | None
    since_us: int
    retired_at_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaStanding:
    """A replica's state, since when, and why (`detail`)."""

    replica: str
    state: ReplicaState
    since_us: int
    updated_at_us: int
    detail: str = ""
    pool: str | None = None
    model: str | None = None


class Fleet:
    """Agents, GPUs and replicas of one state store. Thread-safe; each call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def heard(self, seen: Sequence[AgentSeen]) -> None:
        """Keep what agents last said; when an agent was first seen is kept from before."""
        with self._database.writing() as connection:
            for each in seen:
                row = {**asdict(each), "first_seen_us": each.last_seen_us}
                upsert(connection, agents, row, keep=("first_seen_us",))

    def agents(self) -> list[AgentSeen]:
        """Return every agent ever heard, by name."""
        wanted = [agents.c[name] for name in AgentSeen.__dataclass_fields__]
        with self._database.reading() as connection:
            rows = connection.execute(select(*wanted).order_by(agents.c.name)).mappings()
            return [AgentSeen(**row) for row in rows]

    def expect(self, gpus: Sequence[ExpectedGpu]) -> int:
        """Remember GPUs not known yet; known ones are left alone. Returns how many were new."""
        with self._database.writing() as connection:
            return sum(insert_once(connection, expected_gpus, asdict(each)) for each in gpus)

    def retire(self, gpu_uuid: str, *, now_us: int) -> bool:
        """Expect a GPU no longer; false = it was not expected."""
        chosen = (expected_gpus.c.gpu_uuid == gpu_uuid) & expected_gpus.c.retired_at_us.is_(None)
        with self._database.writing() as connection:
            return (
                connection.execute(update(expected_gpus).where(chosen).values(retired_at_us=now_us)).rowcount
                == 1
            )

    def expected(self) -> list[ExpectedGpu]:
        """Return the GPUs that should be reporting, by host."""
        chosen = select(expected_gpus).where(expected_gpus.c.retired_at_us.is_(None))
        with self._database.reading() as connection:
            rows = connection.execute(
                chosen.order_by(expected_gpus.c.host, expected_gpus.c.gpu_uuid)
            ).mappings()
            return [ExpectedGpu(**row) for row in rows]

    def keep_replicas(self, standings: Sequence[ReplicaStanding]) -> None:
        """Keep the state of replicas, in place of what was known of each."""
        with self._database.writing() as connection:
            for each in standings:
                upsert(connection, replica_states, {**asdict(each), "state": each.state.value})

    def replicas(self) -> list[ReplicaStanding]:
        """Return every replica ever judged, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(replica_states).order_by(replica_states.c.replica)).mappings()
            return [ReplicaStanding(**{**row, "state": ReplicaState(row["state"])}) for row in rows]
