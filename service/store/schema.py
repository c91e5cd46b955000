"""The state store's tables, in SQLAlchemy Core: what was decided, small and transactional.

Instants are UTC microseconds, money is integer nano-currency, JSON is text. None = not known
or not yet. `migrations/state` builds exactly this; a test keeps them equal.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()


def _position() -> Column[int]:
    """Return a key that grows with every row: the order in which rows were given."""
    number = BigInteger().with_variant(Integer, "sqlite")
    return Column("position", number, primary_key=True, autoincrement=True)


def _key(name: str) -> Column[str]:
    return Column(name, String(200), primary_key=True)


def _name(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, String(200), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


def _int(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


tokens = Table(
    "tokens",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    _name("name"),
    _name("role"),
    _int("created_at_us"),
    _int("revoked_at_us", nullable=True),
    CheckConstraint("role IN ('admin', 'agent', 'read')", name="tokens_role"),
)
Index("tokens_name", tokens.c.name)

agents = Table(
    "agents",
    metadata,
    _key("name"),
    _name("host"),
    _name("boot"),
    _name("software"),
    _int("first_seen_us"),
    _int("last_seen_us"),
    _int("clock_offset_us", nullable=True),
)

expected_gpus = Table(
    "expected_gpus",
    metadata,
    _key("gpu_uuid"),
    _name("host"),
    _name("gpu_model", nullable=True),
    _int("since_us"),
    _int("retired_at_us", nullable=True),
)

objectives = Table(
    "objectives",
    metadata,
    _position(),
    _name("name"),
    _name("version"),
    _text("spec"),
    _text("source"),
    _int("valid_from_us"),
    _int("valid_to_us", nullable=True),
)
Index("objectives_name", objectives.c.name, objectives.c.valid_from_us)

objective_documents = Table(
    "objective_documents",
    metadata,
    _key("name"),
    _text("document"),
    _name("given_by"),
    _int("given_at_us"),
)

corrections = Table(
    "corrections",
    metadata,
    _position(),
    Column("id", String(200), nullable=False, unique=True),
    _text("objectives"),
    _name("excluded"),
    _name("start"),
    _name("zone"),
    _int("duration_us"),
    _text("rule"),
    _text("why"),
    _text("source"),
    _name("created_by"),
    _int("created_at_us"),
    _int("until_us", nullable=True),
    _name("ended_by", nullable=True),
    _int("ended_at_us", nullable=True),
    _text("ended_why", nullable=True),
)

prices = Table(
    "prices",
    metadata,
    _position(),
    _name("selector"),
    _int("nano_per_hour"),
    Column("currency", String(3), nullable=False),
    _int("from_us"),
    _text("source"),
    _name("dated"),
    _int("added_at_us"),
    UniqueConstraint("selector", "from_us", "nano_per_hour", "currency", name="prices_once"),
)

replica_states = Table(
    "replica_states",
    metadata,
    _key("replica"),
    _name("state"),
    _text("detail"),
    _name("pool", nullable=True),
    _name("model", nullable=True),
    _int("since_us"),
    _int("updated_at_us"),
)

findings = Table(
    "findings",
    metadata,
    _key("id"),
    _name("class"),
    _text("cause"),
    _name("severity"),
    _text("replicas"),
    _text("summary"),
    _int("started_at_us"),
    _int("ended_at_us", nullable=True),
    _int("updated_at_us"),
    _int("cost_nano", nullable=True),
    _name("evidence_id", nullable=True),
    _name("dataset"),
)
Index("findings_time", findings.c.dataset, findings.c.started_at_us)

alert_states = Table(
    "alert_states",
    metadata,
    _key("key"),
    _name("name"),
    _text("labels"),
    _text("annotations"),
    _name("severity"),
    _name("state"),
    _int("state_since_us"),
    _name("incident", nullable=True),
    _int("since_us", nullable=True),
    _int("timer_us", nullable=True),
    _int("frozen_us", nullable=True),
    _int("sequence"),
)

transitions = Table(
    "transitions",
    metadata,
    _position(),
    Column("id", String(200), nullable=False, unique=True),
    _name("incident"),
    Column("key", String(200), ForeignKey("alert_states.key"), nullable=False),
    _name("name"),
    _text("labels"),
    _text("annotations"),
    _name("severity"),
    _name("before"),
    _name("after"),
    _int("at_us"),
    _int("since_us"),
)
Index("transitions_time", transitions.c.at_us)

notifications = Table(
    "notifications",
    metadata,
    _position(),
    Column("id", String(200), nullable=False, unique=True),
    _text("lane"),
    _name("receiver"),
    _text("body"),
    _int("created_at_us"),
    _int("next_at_us"),
    Column("attempt", Integer, nullable=False),
    Column("finished", Boolean, nullable=False),
    _name("outcome", nullable=True),
    _text("detail"),
    Column("status", Integer, nullable=True),
    _int("outcome_at_us", nullable=True),
    _name("worker", nullable=True),
    _int("lease_until_us"),
)
Index(
    "notifications_open",
    notifications.c.lane,
    notifications.c.position,
    sqlite_where=text("NOT finished"),
    postgresql_where=text("NOT finished"),
)

announced = Table("announced", metadata, _key("receiver"), _key("incident"))

disabled_receivers = Table("disabled_receivers", metadata, _key("name"), _int("disabled_at_us"))

receivers = Table(
    "receivers",
    metadata,
    _key("name"),
    _name("kind"),
    _text("url"),
    _text("secret"),
    Column("allow_private", Boolean, nullable=False),
    _int("created_at_us"),
)

silences = Table(
    "silences",
    metadata,
    _key("id"),
    _text("matchers"),
    _int("starts_at_us"),
    _int("ends_at_us"),
    _name("created_by"),
    _text("comment"),
    _int("created_at_us"),
)
Index("silences_end", silences.c.ends_at_us)

meta = Table("meta", metadata, _key("key"), _text("value"))

audit = Table(
    "audit",
    metadata,
    _position(),
    _int("at_us"),
    _name("who"),
    _name("action"),
    _name("subject"),
    _text("detail"),
)
