"""Own counters of a proxy or middleware as Prometheus text. No tenant, model or address is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from telemetry.requests import Status


@dataclass(slots=True)
class Counts:
    """What one process has counted since its start."""

    ended: Counter[Status] = field(default_factory=Counter)
    passed: int = 0
    """Requests to paths that are passed through without being measured."""
    refused: int = 0
    """Requests the proxy answered 503 because too many were in flight."""
    uninspected: int = 0
    """Request bodies passed through unread: too long or compressed."""
    unreadable: int = 0
    """Answers passed through unread: compressed or of another kind."""
    faults: int = 0
    """Errors of our own: each is a bug, and is logged by its kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What is so at one instant, beside the counters."""

    in_flight: int
    oldest_us: int
    agent_reached: bool
    records_waiting: int
    records_sent: int
    records_lost: Mapping[str, int]
    tenants_folded: int
    models_folded: int


def exposition(who: str, counts: Counts, level: Level) -> str:
    """Return both in Prometheus' text format; `who` is `proxy` or `middleware`."""
    statuses = {f'status="{status.value}"': counts.ended[status] for status in Status}
    lost = {f'reason="{reason}"': number for reason, number in sorted(level.records_lost.items())}
    families: tuple[tuple[str, str, str, Mapping[str, float]], ...] = (
        ("in_flight_requests", "gauge", "Measured requests being served.", {"": level.in_flight}),
        ("oldest_request_seconds", "gauge", "Age of the oldest of them.", {"": level.oldest_us / 1e6}),
        ("requests_total", "counter", "Measured requests ended.", statuses),
        ("passed_requests_total", "counter", "Requests to paths not measured.", {"": counts.passed}),
        ("refused_requests_total", "counter", "Requests refused: too many in flight.", {"": counts.refused}),
        ("uninspected_bodies_total", "counter", "Request bodies not read.", {"": counts.uninspected}),
        ("unreadable_answers_total", "counter", "Answers not read.", {"": counts.unreadable}),
        ("faults_total", "counter", "Errors of our own.", {"": counts.faults}),
        ("agent_reached", "gauge", "1 when the last record reached the agent.", {"": level.agent_reached}),
        ("records_waiting", "gauge", "Records waiting for the agent.", {"": level.records_waiting}),
        ("records_sent_total", "counter", "Records handed to the agent.", {"": level.records_sent}),
        ("records_lost_total", "counter", "Records that never will be.", lost),
        ("tenants_folded_total", "counter", "Times a tenant became __other__.", {"": level.tenants_folded}),
        ("models_folded_total", "counter", "Times a model became __other__.", {"": level.models_folded}),
    )
    return "\n".join(line for family in families for line in _lines(who, *family)) + "\n"


def _lines(who: str, name: str, kind: str, text: str, values: Mapping[str, float]) -> Iterable[str]:
    full = f"inferometer_{who}_{name}"
    yield f"# HELP {full} {text}"
    yield f"# TYPE {full} {kind}"
    for labels, value in values.items():
        yield f"{full}{{{labels}}} {value:g}" if labels else f"{full} {value:g}"
