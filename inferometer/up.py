"""`inferometer up`: the central service, one process on one port."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inferometer.saying import Failure, answer, say, telling


def _prices(items: list[str]) -> dict[str, str] | None:
    pairs = [item.partition("=") for item in items]
    wrong = [
        item
        for item, (model, sign, price) in zip(items, pairs, strict=True)
        if not (model and sign and price)
    ]
    if wrong:
        raise Failure(f"--price {wrong[0]!r}: not MODEL=PRICE, such as H100=2.95 (per GPU-hour)", code=2)
    return {model: price for model, _, price in pairs} or None


def up(
    data_dir: Annotated[
        Path | None, typer.Option(help="Where everything is kept.", show_default="inferometer-data")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 takes a free one.", show_default="8460")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file (TOML); see docs/settings.md.")] = None,
    objectives: Annotated[
        list[Path] | None, typer.Option(help="OpenSLO file or folder; repeat for more.")
    ] = None,
    price: Annotated[
        list[str] | None, typer.Option(help="Price of a GPU-hour, MODEL=PRICE; repeat for more.")
    ] = None,
    kwh_price: Annotated[
        str | None,
        typer.Option(help="Price of a kWh at the GPU, cooling included: tells what energy costs."),
    ] = None,
) -> None:
    """Start the service: takes facts from agents, judges them, shows pages, sends alerts.

    Prints `ready: URL` when it answers. The first start prints an admin token, once.
    """
    from service.serve import serve
    from service.settings import SettingsError, from_process
    from service.wiring import StartError

    with telling(SettingsError, StartError):
        settings = from_process(
            config,
            data_dir=data_dir,
            host=host,
            port=port,
            objectives=tuple(objectives) if objectives else None,
            prices=_prices(price or []),
            kwh_price=kwh_price,
        )
        serve(settings, tell=say, announce=answer)
