"""`inferometer middleware`: the ASGI middleware as one file, for an engine's own environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inferometer.saying import answer, say, telling


def middleware(
    file: Annotated[Path, typer.Argument(help="Where to write it, such as inferometer-middleware.zip.")],
) -> None:
    """Write the middleware that times every token inside an engine: one file, standard library only.

    Lay it beside the engine, put it on PYTHONPATH and name it to the engine.
    """
    from collector.requests.bundle import write_bundle

    with telling(OSError):
        size = write_bundle(file)
    say(f"{file}: {size:,} bytes, for Python 3.11 or later")
    answer(
        f"PYTHONPATH={file.resolve()} INFEROMETER_MIDDLEWARE_SOCKET=inferometer-agent/records.sock "
        "vllm serve MODEL --middleware collector.requests.middleware.InferometerMiddleware"
    )
