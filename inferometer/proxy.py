"""`inferometer proxy`: times every token of every request on its way through."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from inferometer.saying import telling


def proxy(
    upstream: Annotated[
        list[str] | None, typer.Option(help="Inference server, http://host:port; repeat for more.")
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(help="host:port to listen on; port 0 takes a free one.", show_default="127.0.0.1:8080"),
    ] = None,
    socket: Annotated[
        Path | None,
        typer.Option(
            help="The agent's socket; it need not be there.", show_default="inferometer-agent/records.sock"
        ),
    ] = None,
    pool: Annotated[
        str | None, typer.Option(help="Name of the pool behind this proxy.", show_default="the model's name")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model name, whatever the request calls it.")] = None,
    replica: Annotated[
        list[str] | None,
        typer.Option(help="Names of the upstreams, in their order.", show_default="host:port"),
    ] = None,
    trusted: Annotated[
        list[str] | None, typer.Option(help="Network whose tenant header is believed; nobody by default.")
    ] = None,
    tenant_header: Annotated[
        str | None, typer.Option(help="Header that names the tenant.", show_default="X-Tenant-Id")
    ] = None,
    include_usage: Annotated[
        bool | None,
        typer.Option(
            help="Ask the engine for token counts and hide them from clients that did not ask.",
            show_default="on",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings file (TOML), API keys of tenants among them.")
    ] = None,
) -> None:
    """Pass OpenAI-compatible requests through and record how each went. Runs without an agent too.

    Point clients at it instead of the engine. No prompt and no completion leaves the host.
    """
    from collector.requests.proxy import run
    from collector.requests.settings import SettingsError, load_settings

    flags: dict[str, object] = {
        "upstream": upstream or None,
        "listen": listen,
        "socket": socket,
        "pool": pool,
        "model": model,
        "replica": replica or None,
        "trusted": trusted or None,
        "tenant_header": tenant_header,
        "include_usage": include_usage,
        "config": config,
    }
    if socket is None and "INFEROMETER_PROXY_SOCKET" not in os.environ and config is None:
        flags["socket"] = Path("inferometer-agent/records.sock")
    with telling(SettingsError):
        settings = load_settings(flags, os.environ)
    sys.exit(run(settings))
