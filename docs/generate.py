"""Writes the pages of docs/ that are derived from the code; a test compares them with the code."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import tempfile
from pathlib import Path

import slo.indicator
from collector.agent import Agent
from collector.efficiency.peaks import PEAKS
from collector.engines import Engine, Fold, Signal, engines
from collector.export.dcgm_names import HOSTNAME_LABELS, NOT_SERVED, SERIES, XID
from collector.export.health import Vital
from collector.hardware.policies import POLICIES
from collector.hardware.xids import CATALOGUE, LAST_CODE
from collector.requests.route_fields import FIELDS, ROUTES, Filled
from collector.settings import Settings
from service.objectives.parameters import parameters
from slo import expression
from slo.indicator import Indicator
from slo.indicators import indicators
from telemetry.catalog import ENGINE_LABELS, GPU_LABELS, METRICS, PREFIX, Metric
from telemetry.columns import TABLES, TableSpec
from telemetry.identity import Vantage

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
    found = _vitals()
    for title, chosen in (
        ("Derived from the readings", [each for each in found if each.prefix == PREFIX]),
        ("The agent's own health", [each for each in found if each.prefix != PREFIX]),
    ):
        parts.append(f"\n## {title}\n\n{_vital_rows(chosen)}")
    return "".join(parts)


def _vitals() -> list[Vital]:
    """Return the series of an agent that has not begun: their names, kinds and words are all there."""
    with tempfile.TemporaryDirectory() as folder:
        agent = Agent(Settings(data_dir=Path(folder), host="host", server="http://127.0.0.1:1"))
        found = agent.vitals()
        if agent.journal is not None:
            agent.journal.close()
    return found


def _vital_rows(vitals: list[Vital]) -> str:
    rows = "".join(
        f"| `{each.prefix}{each.name}` | {', '.join(each.labels)} | {each.kind} | {each.help} |\n"
        for each in vitals
    )
    return f"| series | labels | kind | means |\n|---|---|---|---|\n{rows}"


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


def _signal(signal: Signal) -> str:
    """Return in words where a value is read."""
    told = " or ".join(f"`{name}`" for name in signal.names)
    if signal.labels:
        chosen = (f"{label} = {', '.join(_words(values))}" for label, values in signal.labels.items())
        told += f" where {'; '.join(chosen)}"
    if signal.value_label:
        told = f"label `{signal.value_label}` of {told}"
    if signal.constant is not None:
        told = f"{signal.constant}, where {told} is there"
    for word, names in (
        ("plus", signal.added),
        ("only beside", signal.beside),
        ("not beside", signal.unless),
    ):
        if names:
            told += f", {word} {', '.join(f'`{name}`' for name in names)}"
    if signal.over:
        told += f", divided by {_signal(signal.over)}"
    return f"{told}{f', times {signal.scale:,}' if signal.scale != 1 else ''}{', the largest' if signal.fold is Fold.MAX else ''}"


def _words(values: tuple[str, ...]) -> list[str]:
    """Return label values; a long list (codes of errors) by its ends."""
    shown = [value or "(none)" for value in values]
    return [f"{shown[0]} .. {shown[-1]}"] if len(shown) > 12 else shown


def _engine(engine: Engine) -> str:
    doc = next(
        inspect.cleandoc(module.__doc__ or "")
        for name, module in sorted(sys.modules.items())
        if name.startswith("collector.engines.") and any(value is engine for value in vars(module).values())
    )
    where = f"Looked for at {' and '.join(f'`:{port}{engine.metrics_path}`' for port in engine.ports)}."
    known = (
        "" if engine.captured else " **From source, unverified**: no page of the real program was at hand."
    )
    view = " A router's view: never added to an engine's own." if engine.vantage is Vantage.EDGE else ""
    replicas = f" Replicas by label `{engine.rank_label}`." if engine.rank_label else ""
    rows = "".join(f"| `{signal.column}` | {_signal(signal)} |\n" for signal in engine.signals)
    table = f"\n| value | read from |\n|---|---|\n{rows}" if rows else ""
    return f"\n## {engine.title}\n\n{where}{replicas}{view}{known}\n\n{doc}\n{table}"


def engines_page() -> str:
    """Return the page of every engine: where it is found, its traps, what each value is read from."""
    intro = (
        f"{HEAD}# Engines\n\nWhat an agent reads of each kind of inference server, in one vocabulary (see "
        "[facts](facts.md), `engine_samples`). Of several names the first one present is used, so an old and a new "
        "name side by side count once; a value that a page does not tell is absent, never zero. A capacity told in "
        "tokens is told as blocks of one token. `inferometer doctor --metrics FILE` shows what one saved page says, and names "
        "every family that is not read. A page is known by its content, not by its port.\n\n"
        "With `--json`: `engine`, `provenance` (captured, or from source, unverified), `version_range` ([from, to], or null "
        "where the page does not tell), `replicas` (each with its `labels` and its `values`, null = not told; what a page "
        "with ranks tells without one is a replica with empty labels), `missing` (what the engine tells and this page does "
        "not), `renamed` (what was read under an older name, and guesses at a newer one), `families` (read, unused, unknown, "
        "foreign) and `faults`.\n"
    )
    return intro + "".join(_engine(engine) for engine in engines())


def dcgm_page() -> str:
    """Return the page of the series that stand in for dcgm-exporter's."""
    labels = " or ".join(f"`{label}`" for label in HOSTNAME_LABELS)
    rows = "".join(
        f"| `{series.name}` | {series.kind} | {series.help} | `{series.column}`{', a second' if series.rate else ''} |\n"
        for series in SERIES
    )
    rows += f"| `{XID.name}` | {XID.kind} | {XID.help} | the last Xid of the GPU by either route, 0 for none; labels `err_code`, `err_msg` |\n"
    missing = "".join(f"| `{name}` | {why} |\n" for name, why in NOT_SERVED.items())
    return (
        f"{HEAD}# In place of dcgm-exporter\n\n`inferometer agent --dcgm-names` serves each GPU on its `/metrics` also by "
        "dcgm-exporter's names, types, units and labels, without DCGM and without root, so that dashboards and alert rules "
        "go on as they are. Point the scrape job that read port 9400 at the agent (`--listen 0.0.0.0:9400` takes its place).\n\n"
        "```sh\ninferometer agent --dcgm-names --listen 0.0.0.0:9400 --hostname-label Hostname\n```\n\n"
        "Labels, in dcgm-exporter's order: `gpu`, `UUID`, `pci_bus_id`, `device`, `modelName`, `GPU_I_PROFILE` and `GPU_I_ID` (MIG only), "
        f"{labels} (`--hostname-label`; dcgm-exporter changed it in May 2026), `DCGM_FI_DRIVER_VERSION`. A value that was not measured is absent, never "
        "zero. Grafana's dashboard 12239, in both of its generations, shows data in every panel; a test asks all of its "
        "queries of a real Prometheus.\n\n"
        "Two things differ from DCGM. `DCGM_FI_PROF_GR_ENGINE_ACTIVE` is the driver's kernel-busy ratio, the same "
        "thought measured at the driver's own pace. The `DCGM_FI_PROF_*` ratios come from NVML's GPM, which Hopper and newer "
        "have; on older GPUs they are absent.\n\n"
        f"| series | kind | dcgm-exporter's help | read from |\n|---|---|---|---|\n{rows}\n"
        f"## Not served\n\nIn dcgm-exporter's default list, and not here.\n\n| series | why not |\n|---|---|\n{missing}"
    )


def _indicator(cls: type[Indicator]) -> str:
    rules = inspect.cleandoc(cls.__doc__ or "")
    rows = "".join(
        f"| `{each.name}` | {each.meaning} | {'required' if each.required else f'`{each.default}`' if each.default else 'optional'} |\n"
        for each in parameters(cls)
    )
    table = f"| parameter | is a | default |\n|---|---|---|\n{rows}\n" if rows else ""
    title = (inspect.getdoc(sys.modules[cls.__module__]) or "").split("\n\n")[0].replace("\n", " ")
    return f"\n## {cls.kind}\n\n{title} Counts {cls.unit}, from the facts `{cls.table}`.\n\n{table}{rules}\n"


def indicators_page() -> str:
    """Return the page of every indicator: what it counts, its parameters, its rules."""
    known = indicators().values()
    rules = (inspect.getdoc(slo.indicator) or "").partition("The rules that all")[2]
    rows = "".join(
        f"| [`{cls.kind}`](#{cls.kind}) | {cls.unit} | {', '.join(f'`{each.name}`' for each in parameters(cls))} |\n"
        for cls in known
    )
    intro = (
        f"{HEAD}# Indicators\n\nAn indicator calls each fact good, bad, or not its business; an [objective](objectives.md) names "
        "one and promises how large a share is good. Every limit is compared in whole numbers, exactly.\n\n"
        "| indicator | counts | parameters |\n|---|---|---|\n"
        f"{rows}\nWhat it counts is what the `total` of a ratio names: `indicator: tokens`. A duration is a number and a unit "
        "(`us ms s m h d w`).\n\n## Rules of all\n\nThe rules that all"
        f"{rules}\n"
    )
    conditions = f"\n## Conditions\n\n{inspect.getdoc(expression)}\n"
    return intro + "".join(_indicator(cls) for cls in known) + conditions


def request_fields_page() -> str:
    """Return the page of what each route knows of a request."""
    rows = "".join(
        f"| `{name}` | {' | '.join('' if how is Filled.NONE else how for how in routes.values())} |\n"
        for name, routes in FIELDS.items()
    )
    return (
        f"{HEAD}# What each route knows of a request\n\nThe fields of a request record (see [facts](facts.md)) by "
        "[route](requests.md). *given*: where the input says it; *estimated*: given where the engine states it, else counted, "
        "and `tokens_estimated` says so; empty: the route cannot know it, so it is absent (a flag or a count keeps its "
        "default). An access log gives what its map names. A test feeds every route all it can say and compares.\n\n"
        f"| field | {' | '.join(ROUTES)} |\n|---{'|---' * len(ROUTES)}|\n{rows}"
    )


def hardware_page() -> str:
    """Return the page of every Xid with its verdicts, and of every GPU's peaks."""
    titles = " | ".join(POLICIES)
    codes = "".join(
        f"| {xid.code} | {xid.words} | {xid.action} | {' | '.join(policy.verdict(xid.code) for policy in POLICIES.values())} |\n"
        for xid in CATALOGUE.values()
        if xid.words != "unused"
        or any(xid.code in POLICIES[fleet].verdicts for fleet in ("k8s", "meta", "azure"))
    )
    sources = "".join(f"- `{policy.name}`: {policy.source}\n" for policy in POLICIES.values())
    other = " | ".join(policy.verdict(LAST_CODE + 1) for policy in POLICIES.values())
    boards = "".join(
        f"| {', '.join(peak.names)} | {peak.teraflops:g} | {', '.join(f'{name} x{rate}' for name, rate in peak.rates.items())} "
        f"| {peak.tensor_cores} x {peak.multiply_adds} x 2 x {peak.clock_mhz} MHz{' (solved)' if peak.solved else ''} "
        f"| {peak.gigabytes_per_second:g} | {peak.bus_bits} bit x {peak.memory_mhz} MHz x 2 | {peak.source} |\n"
        for peak in PEAKS
    )
    return (
        f"{HEAD}# Xids and peaks\n\nWhat they are used for: [hardware](hardware.md).\n\n## Xids\n\n"
        f"The action is that of NVIDIA's catalogue; the verdicts are those of `--xid-policy`. Codes that the catalogue calls unused and no fleet names are left out.\n\n{sources}\n"
        f"| code | says | action | {titles} |\n|---|---|---|{'---|' * len(POLICIES)}\n{codes}| any other | | | {other} |\n\n"
        "## Peaks\n\nDense TFLOP/s with FP16 or BF16 in and FP32 accumulated, how many times as fast other formats are, and GB/s. *Solved*: the clock was found "
        "from the published peak and proves nothing; every other row is recomputed by a test. A board that is not listed by exactly this name has no peak.\n\n"
        f"| driver's name | TFLOP/s | formats | arithmetic | GB/s | arithmetic | source |\n|---|---|---|---|---|---|---|\n{boards}"
    )


PAGES = {
    "hardware-tables.md": hardware_page,
    "metrics.md": metrics_page,
    "facts.md": schema_page,
    "engines.md": engines_page,
    "dcgm.md": dcgm_page,
    "request-fields.md": request_fields_page,
    "indicators.md": indicators_page,
}


def main() -> None:
    """Write every generated page."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page())
        print(f"docs: wrote docs/{name}")


if __name__ == "__main__":
    main()
