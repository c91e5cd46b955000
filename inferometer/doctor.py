"""`inferometer doctor`: what can be measured on this host, and what cannot and why."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inferometer.options import AsJson
from inferometer.saying import answer, answer_json, answer_table, say, telling

if TYPE_CHECKING:
    from collector.scraping.saved_page import SavedPage

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
    metrics: Annotated[
        Path | None,
        typer.Option(
            help="Read this saved metrics page of an engine instead (`-` = standard input).",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at GPUs, driver, engines, service, clock and disk as the agent would; changes nothing.

    Exits 1 when something will not work. Each finding says what to do about it.
    """
    if metrics is not None:
        _read_saved(metrics, as_json=as_json)
        return
    from collector.diagnosis import Status
    from collector.doctor import examine
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


def _read_saved(path: Path, *, as_json: bool) -> None:
    """Print what a saved page says in the vocabulary. Exits 1 on a page of no known engine."""
    from collector.scraping.exposition import PageError
    from collector.scraping.saved_page import MAX_PAGE_BYTES, normalise

    with telling(OSError, PageError):
        if str(path) == "-":
            body = sys.stdin.buffer.read(MAX_PAGE_BYTES + 1)
        else:
            with path.open("rb") as file:
                body = file.read(MAX_PAGE_BYTES + 1)
        page = normalise(body)
    if as_json:
        answer_json(asdict(page))
    else:
        _say_saved(page)


def _say_saved(page: SavedPage) -> None:
    from collector.engines import UNVERIFIED

    releases = f" {' to '.join(page.version_range)}" if page.version_range else ""
    answer(f"{page.title}{releases}{f' ({UNVERIFIED})' if page.provenance == UNVERIFIED else ''}")
    words = [
        word
        for word in page.replicas[0].values
        if any(each.values[word] is not None for each in page.replicas)
    ]
    titles = [
        " ".join(f"{name}={text}" for name, text in each.labels.items()) or "value" for each in page.replicas
    ]
    rows = [[word, *(each.values[word] for each in page.replicas)] for word in words]
    answer_table("", ["name", *(f"#{title}" for title in titles)], rows)
    for rename in page.renamed:
        what = "may be" if rename.guess else "read from"
        answer(f"renamed  {rename.value}: {rename.newest} {what} {rename.found}")
    for title, names in (
        ("missing", page.missing),
        ("unknown", page.families.unknown),
        ("unused", page.families.unused),
    ):
        if names:
            answer(f"{title}  {', '.join(names)}")
    for fault in page.faults:
        answer(f"fault    {fault}")
