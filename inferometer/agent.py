"""`inferometer agent`: reads GPUs, engines and requests on one host and ships them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from inferometer.saying import telling
from telemetry.source import Source


def agent(
    server: Annotated[
        str | None, typer.Option(help="URL of `inferometer up`; without it, measure and export only.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            help="From `inferometer token create NAME --role agent`; better INFEROMETER_AGENT_TOKEN_FILE."
        ),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            help="URL of an engine on this host; repeat for more.",
            show_default="looks on the usual local ports",
        ),
    ] = None,
    engine_log: Annotated[
        list[Path] | None,
        typer.Option(
            help="Log of the n-th --engine: its start-up tells what weights and KV pool take.",
            show_default=False,
        ),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where unsent batches wait.", show_default="inferometer-agent")
    ] = None,
    listen: Annotated[
        str | None, typer.Option(help="host:port of its own /metrics.", show_default="127.0.0.1:9477")
    ] = None,
    dcgm_names: Annotated[
        bool, typer.Option("--dcgm-names", help="Serve the GPUs by dcgm-exporter's names as well.")
    ] = False,
    hostname_label: Annotated[
        str | None,
        typer.Option(
            help="dcgm-exporter's label of the host: Hostname or hostname.", show_default="Hostname"
        ),
    ] = None,
    expect_gpus: Annotated[
        str | None,
        typer.Option(
            help="How many GPUs this host has, or their UUIDs parted by commas; a missing one is told as down.",
            show_default=False,
        ),
    ] = None,
    xid_policy: Annotated[
        str | None,
        typer.Option(
            help="Whose rule says what an Xid means: nvidia, k8s, meta or azure.", show_default="nvidia"
        ),
    ] = None,
    kernel_log: Annotated[
        str | None,
        typer.Option(
            help="Where Xids are read beside the driver's events: a file, or `off`.", show_default="/dev/kmsg"
        ),
    ] = None,
    otlp: Annotated[
        str | None,
        typer.Option(help="host:port where OTLP/HTTP trace exports are taken.", show_default="nowhere"),
    ] = None,
    request_log: Annotated[
        list[Path] | None,
        typer.Option(help="Request log of JSON lines to follow; repeat for more.", show_default=False),
    ] = None,
    request_log_format: Annotated[
        str, typer.Option(help="What its lines mean: `litellm`, or a TOML file that maps columns.")
    ] = "litellm",
    config: Annotated[
        Path | None, typer.Option(help="Settings file (TOML): engines with pool and GPUs, and the rest.")
    ] = None,
    simulated_gpus: Annotated[
        str | None,
        typer.Option(help='Read GPUs from `inferometer simulate` at this URL; set origin = "simulated".'),
    ] = None,
) -> None:
    """Read this host once a second and ship what was read; what cannot be shipped waits on disk.

    Needs no root and no DCGM. `inferometer doctor` says what can be read here.
    """
    from collector.agent import run
    from collector.settings import SettingsError, load

    overrides: dict[str, object] = {
        "server": server,
        "token": token,
        "engines": _engines(engine or [], engine_log or []),
        "data_dir": data_dir,
        "listen": listen,
        "dcgm_names": dcgm_names or None,
        "hostname_label": hostname_label,
        "otlp": otlp,
        "request_logs": [{"path": str(path), "format": request_log_format} for path in request_log or ()]
        or None,
        "expected_gpus": expect_gpus,
        "xid_policy": xid_policy,
        "kernel_log": kernel_log,
    }
    with telling(SettingsError):
        settings = load(config, os.environ, overrides)
    sys.exit(run(settings, sources=_simulated(simulated_gpus)))


def _engines(urls: Sequence[str], logs: Sequence[Path]) -> list[dict[str, object]] | None:
    """Return the engines named on the command line, each with its log. Exits 2 on a log without engine."""
    if len(logs) > len(urls):
        raise typer.BadParameter(f"{len(logs)} given for {len(urls)} --engine", param_hint="--engine-log")
    engines: list[dict[str, object]] = [{"url": url} for url in urls]
    for target, log in zip(engines, logs, strict=False):
        target["log"] = log
    return engines or None


def _simulated(url: str | None) -> Sequence[Source]:
    if url is None:
        return ()
    from simulator.errors import SimulatorError
    from simulator.source import gpu_sources

    with telling(SimulatorError):
        return gpu_sources(url)
