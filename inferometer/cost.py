"""`inferometer cost`: what the fleet costs, and for what."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from inferometer.options import AsJson, Server, Token
from inferometer.saying import answer, answer_json, answer_table, say

app = typer.Typer(help="Cost: the ledger by class, tenant and model.", no_args_is_help=True)


@app.callback()
def cost() -> None:
    """Cost: the ledger by class, tenant and model."""  # with a single command, Typer needs a callback for its name


@app.command("show")
def show(
    range_: Annotated[str, typer.Option("--range", help="How far back: 15m, 1h, 6h, 1d, 7d or 30d.")] = "1d",
    server: Server = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Show what was spent in a range, by class and by who caused it; the rows sum to the charge."""
    from inferometer.client import Client

    view = Client(server, token).get("/api/v1/views/cost", range=range_)
    if as_json:
        answer_json(
            {name: view[name] for name in ("currency", "classes", "tenants", "energy", "check", "unpriced")}
        )
        return
    for mark in view["marks"]:
        say(mark)
    currency = view["currency"]
    if not view["classes"]:
        _energy(view["energy"], currency)
        answer(view["check"]["words"])
        return
    classes = [
        (row["class"], _money(row["amount_nano"]), _share(row["share"]), row["meaning"])
        for row in view["classes"]
    ]
    answer_table(f"by class, last {range_}", ("class", f"#{currency}", "#share", "meaning"), classes)
    tenants = [_tenant(row) for row in view["tenants"]]
    answer_table(
        "by tenant and model", ("tenant", "model", f"#{currency}", "#useful", "#per million tokens"), tenants
    )
    _energy(view["energy"], currency)
    answer(view["check"]["words"])
    if view["unpriced"]:
        say(f"without a price, so not in the sums: {view['unpriced']} (inferometer up --price MODEL=PRICE)")


def _tenant(row: dict[str, Any]) -> tuple[Any, ...]:
    return (
        row["tenant"],
        row["model"],
        _money(row["total_nano"]),
        _money(row["useful_nano"]),
        _money(row["per_million_nano"]),
    )


def _energy(energy: dict[str, Any], currency: str) -> None:
    """Tell what the GPUs drew by their energy counters; it is no part of the bill above."""
    pools = [
        (
            row["pool"] or "no pool",
            row["gpus"],
            _rounded(row["kwh"]),
            _rounded(row["joules_per_token"]),
            _money(row["amount_nano"]),
        )
        for row in energy["pools"]
    ]
    columns = ("pool", "#GPUs", "#kWh", "#J per output token", f"#{currency} of electricity")
    answer_table("energy, beside the bill", columns, pools)
    if energy["nano_per_kwh"] is None:
        say("electricity has no price (inferometer up --kwh-price 0.08)")
    if energy["untold"]:
        say(f"GPUs that tell no energy, so not in the sums: {energy['untold']}")


def _money(nano: int | None) -> str | None:
    return None if nano is None else f"{nano / 1e9:,.6f}"


def _rounded(value: float | None) -> str | None:
    return None if value is None else f"{value:,.3f}"


def _share(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"
