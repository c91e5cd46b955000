"""Writes the pages of docs/ that are derived from the code; a test compares them with the code."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

from telemetry.catalog import ENGINE_LABELS, GPU_LABELS, METRICS, PREFIX, Metric
from telemetry.columns import TABLES, TableSpec

HERE = Path(__file__).parent
HEAD = "<!-- written by `make docs`; edit the code, not this page -->\n"


def _metric_rows(metrics: list[Metric]) -> str:
    rows = "".join(f"| `{PREFIX}{metric.name}` | {metric.kind} | {metric.help} |\n" for metric in metrics)
    return f"| series | kind | means |\n|---|---|---|\n{rows}"


def metrics_page() -> str:
    """Return the page of every series that an agent exports."""
    parts = [
        f"{HEAD}# Metrics of an agent\n\nServed by `inferometer agent` at `/metrics`. Names are frozen once released.\n"
    ]
    for title, table, labels in (
        ("GPU", "gpu_samples", GPU_LABELS),
        ("Engine", "engine_samples", ENGINE_LABELS),
    ):
        chosen = [metric for metric in METRICS if metric.table == table]
        said = ", ".join(f"`{label}`" for label in labels)
        parts.append(
            f"\n## {title}\n\nLabels: {said}. A value that was not measured is absent, never zero.\n\n{_metric_rows(chosen)}"
        )
    return "".join(parts)


def _table(table: TableSpec) -> str:
    doc = (inspect.getdoc(table.record) or "").split("\n\n")[0].replace("\n", " ")
    defaults = {field.name: field for field in dataclasses.fields(table.record)}
    rows = "".join(
        f"| `{column.name}` | {column.kind} | {'may be missing' if column.nullable else 'always'} "
        f"| {', '.join(column.words) if column.words else ''} |\n"
        for column in table.columns
        if column.name in defaults
    )
    return f"\n## {table.name}\n\n{doc} Event time: `{table.time_column}`.\n\n| column | kind | present | one of |\n|---|---|---|---|\n{rows}"


def schema_page() -> str:
    """Return the page of every table and column of facts."""
    intro = (
        f"{HEAD}# Facts\n\nThe tables of the facts store, which are also the tables of a batch. The unit is the last word of a "
        "name: `_us` microseconds, `_ratio` 0..1, `_bytes`, `_watts`; instants are UTC microseconds since 1970. Every stored "
        "row also carries `agent`, `boot`, `seq`, `block`, `received_at_us`, `origin` (live, simulated, imported) and `dataset`.\n"
    )
    return intro + "".join(_table(table) for table in TABLES)


PAGES = {"metrics.md": metrics_page, "facts.md": schema_page}


def main() -> None:
    """Write every generated page."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page())
        print(f"docs: wrote docs/{name}")


if __name__ == "__main__":
    main()
