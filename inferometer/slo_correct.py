"""`inferometer slo correct`: times that are left out of counting, with who said so and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from inferometer.options import AsJson, Server, Token
from inferometer.saying import answer, answer_json, answer_table, say

app = typer.Typer(help="Corrections: times left out of counting. Nothing is deleted.", no_args_is_help=True)
Why = Annotated[str, typer.Option("--why", help="Why, for whoever reads the record.")]
CorrectionId = Annotated[str, typer.Argument(help="The id that `add` printed.", show_default=False)]


@app.command("add")
def add(
    why: Why,
    start: Annotated[str, typer.Option(help="Local time of the zone, such as '2026-11-22 02:00'.")],
    for_: Annotated[str, typer.Option("--for", help="How long, such as 30m or 2h; at most 31d.")],
    objectives: Annotated[
        list[str] | None, typer.Option("--objective", help="Whose; again for more.", show_default="all")
    ] = None,
    zone: Annotated[str, typer.Option(help="Whose clocks the start is told by.")] = "UTC",
    rrule: Annotated[str, typer.Option(help="Days on which it recurs: FREQ=WEEKLY;BYDAY=SU.")] = "",
    exclude: Annotated[str, typer.Option(help="`all` requests of the time, or its `bad` ones.")] = "all",
    server: Server = None,
    token: Token = None,
) -> None:
    """Leave a time out of counting, once or by a rule. Windows and budgets follow within seconds.

    Example: inferometer slo correct add --start "2026-11-22 02:00" --for 2h --zone Europe/Berlin
    --rrule "FREQ=WEEKLY;BYDAY=SU" --why "weekly maintenance"
    """
    from inferometer.client import Client

    body = {
        "objectives": objectives or [],
        "exclude": exclude,
        "start": start,
        "zone": zone,
        "duration": for_,
        "rrule": rrule,
        "why": why,
    }
    made = Client(server, token).send("POST", "/api/v1/corrections", body)
    answer(made["id"])
    say(f"`inferometer slo correct end {made['id']} --why ...` ends it, `withdraw` takes it back")


@app.command("list")
def list_(server: Server = None, token: Token = None, as_json: AsJson = False) -> None:
    """List every correction there ever was, with who said so, when and why."""
    from inferometer.client import Client

    found = Client(server, token).get("/api/v1/corrections")
    if as_json:
        answer_json(found)
        return
    if not found:
        say("nothing was ever left out of counting")
        return
    columns = ("id", "state", "excludes", "of", "when", "by", "why")
    answer_table("corrections", columns, [_row(each) for each in found])


def _row(each: dict[str, Any]) -> tuple[str, ...]:
    when = f"{each['start']} {each['zone']} for {each['duration']}"
    ended = f"; {each['state']} by {each['ended_by']}: {each['ended_why']}" if each["ended_by"] else ""
    return (
        each["id"],
        each["state"],
        each["exclude"],
        ", ".join(each["objectives"]) or "every objective",
        f"{when}, {each['rrule']}" if each["rrule"] else when,
        f"{each['created_by']} {_at(each['created_at_us'])}",
        f"{each['why']}{ended}",
    )


def _at(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M}"


@app.command("end")
def end(correction_id: CorrectionId, why: Why, server: Server = None, token: Token = None) -> None:
    """End a correction now: what it left out so far stays left out, nothing more will be."""
    _end(correction_id, {"why": why}, server, token)
    answer(f"ended {correction_id}")


@app.command("withdraw")
def withdraw(correction_id: CorrectionId, why: Why, server: Server = None, token: Token = None) -> None:
    """Take a correction back: all that it left out counts again."""
    _end(correction_id, {"why": why, "withdraw": True}, server, token)
    answer(f"withdrew {correction_id}")


def _end(correction_id: str, body: dict[str, Any], server: str | None, token: str | None) -> None:
    from inferometer.client import Client, quoted

    Client(server, token).send("POST", f"/api/v1/corrections/{quoted(correction_id)}/end", body)
