"""`inferometer slo history`: what an objective promised, from when to when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from inferometer.options import AsJson, Server, Token
from inferometer.saying import answer_json, answer_table


def history(
    name: Annotated[str, typer.Argument(help="The objective's name.", show_default=False)],
    server: Server = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Show every version of an objective: what it promised, from when to when, who said so.

    Each version has counts of its own; nothing of an old one is deleted or mixed with the next.
    """
    from inferometer.client import Client, quoted

    versions = Client(server, token).get(f"/api/v1/objectives/{quoted(name)}/history")
    if as_json:
        answer_json(versions)
        return
    rows = [
        (each["version"], _at(each["from_us"]), _at(each["to_us"]), each["promise"], each["source"])
        for each in versions
    ]
    answer_table(name, ("version", "from (UTC)", "to (UTC)", "promise", "from where"), rows)


def _at(at_us: int | None) -> str | None:
    return None if at_us is None else f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M:%S}"
