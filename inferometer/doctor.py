"""`inferometer doctor`: what can be measured on this host, and what cannot and why."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from inferometer.options import AsJson
from inferometer.saying import answer, answer_json, say, telling

_NO_TOKEN = "none"  # noqa: S105 - says that there is none
"""An agent needs a token to deliver; to see whether the service answers takes none."""
_MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


def doctor(
    server: Annotated[
        str | None, typer.Option(help="URL of the service to try as well.", show_default=False)
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            help="URL of an engine; repeat for more.", show_default="looks on the usual local ports"
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="The agent's settings file (TOML).", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at GPUs, driver, engines, service, clock and disk as the agent would; changes nothing.

    Exits 1 when something will not work. Each finding says what to do about it.
    """
    from collector.doctor import Status, examine
    from collector.settings import SettingsError, load

    overrides = {
        "server": server,
        "token": _NO_TOKEN if server else None,
        "engines": [{"url": url} for url in engine] if engine else None,
    }
    with telling(SettingsError):
        settings = load(config, os.environ, overrides)
    say("looking at GPUs, engines, service and disk (some seconds)")
    checks = examine(settings)
    if as_json:
        answer_json([asdict(check) for check in checks])
    for check in () if as_json else checks:
        answer(f"{_MARKS[check.status]}  {check.name}: {check.sentence}")
        if check.hint:
            answer(f"      -> {check.hint}")
    if any(check.status is Status.FAIL for check in checks):
        raise typer.Exit(1)
