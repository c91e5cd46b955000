"""Options that several subcommands share, said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Server = Annotated[
    str | None,
    typer.Option(
        "--server", help="URL of `inferometer up`, or INFEROMETER_URL.", show_default="http://127.0.0.1:8460"
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        help="Access token, or better INFEROMETER_TOKEN; local pages need none.",
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Data directory of the service; it may be running.",
        show_default="inferometer-data",
    ),
]
StateUrl = Annotated[
    str | None,
    typer.Option("--state-url", help="State store by URL, where it is PostgreSQL.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
