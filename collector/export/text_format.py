"""Metric families as Prometheus' text format.

Written here because a page a second must cost little: prometheus_client's objects, made anew for
every scrape, take four times as long. It reads the pages of others (`collector.scraping.exposition`), where
the traps are. promtool checks in a test what is written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from telemetry.catalog import MetricKind

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def labels_text(labels: Mapping[str, str]) -> str:
    """Return labels as they stand behind a name, braces included; empty for none."""
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def family_text(name: str, kind: MetricKind, text: str, series: Iterable[tuple[str, float]]) -> str:
    """Return a family with its help and type; each series is its `labels_text` and its value.

    A counter's `name` ends as its series' do. Values are finite.
    """
    lines = [f"{name}{labels} {value!r}" for labels, value in series]
    return "\n".join((f"# HELP {name} {text}", f"# TYPE {name} {kind}", *lines, ""))


def _escaped(value: str) -> str:
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return value
