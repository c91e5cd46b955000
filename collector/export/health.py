"""How the agent itself is doing, as data: what /metrics shows beside the measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from telemetry.catalog import PREFIX, MetricKind

AGENT: Final = f"{PREFIX}agent_"


@dataclass(frozen=True, slots=True)
class Vital:
    """One series that is no reading: name behind `prefix`, kind, help, values.

    `values` maps the label values (one for each of `labels`) to a number. The prefix is
    `inferometer_agent_` for the agent's own health.
    """

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    values: dict[tuple[str, ...], float] = field(default_factory=dict)
    prefix: str = AGENT


def gauge(name: str, text: str, value: float | None) -> Vital:
    """Return a gauge without labels; a value that is not known makes no series."""
    return Vital(name, MetricKind.GAUGE, text, (), {} if value is None else {(): value})


def counter(name: str, text: str, value: float) -> Vital:
    """Return a counter without labels; the name ends in `_total`."""
    return Vital(name, MetricKind.COUNTER, text, (), {(): value})


def gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Vital:
    """Return a gauge with one label."""
    return Vital(name, MetricKind.GAUGE, text, (label,), {(key,): value for key, value in values.items()})


def counters(name: str, text: str, label: str, values: Mapping[str, float]) -> Vital:
    """Return a counter with one label; the name ends in `_total`."""
    return Vital(name, MetricKind.COUNTER, text, (label,), {(key,): value for key, value in values.items()})
