"""`inferometer alert`: what fires, who is told, what is held back."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from inferometer import receiver
from inferometer.options import AsJson, Server, Token
from inferometer.saying import Failure, answer, answer_json, answer_table, say, telling

app = typer.Typer(help="Alerts: what fires, who is told, what is held back.", no_args_is_help=True)
app.add_typer(receiver.app, name="receiver")
_MATCHER = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(=~|!~|!=|=)(.+)", re.DOTALL)


@app.command("list")
def list_(server: Server = None, token: Token = None, as_json: AsJson = False) -> None:
    """List every alert that was ever bad, the firing ones first."""
    from inferometer.client import Client

    alerts = Client(server, token).get("/api/v1/alerts")
    if as_json:
        answer_json(alerts)
        return
    if not alerts:
        say("no alert has ever fired")
        return
    rows = [(each["state"], each["severity"], each["name"], _since(each), each["summary"]) for each in alerts]
    answer_table("alerts", ("state", "severity", "name", "since (UTC)", "summary"), rows)


def _since(alert: dict[str, Any]) -> str | None:
    at_ms = alert["since_ms"]
    return None if at_ms is None else _moment(at_ms * 1_000)


def _moment(at_us: float) -> str:
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M:%S}"


@app.command("sent")
def sent(server: Server = None, token: Token = None, as_json: AsJson = False) -> None:
    """List the newest notifications, to whom they went and what became of each."""
    from inferometer.client import Client

    notifications = Client(server, token).get("/api/v1/notifications")
    if as_json:
        answer_json(notifications)
        return
    if not notifications:
        say("nothing has been sent yet")
        return
    rows = [
        (each["id"], _moment(each["at_ms"] * 1e3), each["receiver"], each["status"], each["name"], _end(each))
        for each in notifications
    ]
    answer_table("notifications", ("id", "made (UTC)", "receiver", "says", "alert", "became"), rows)


def _end(notification: dict[str, Any]) -> str:
    tries = "" if notification["attempts"] == 1 else f", attempt {notification['attempts']}"
    detail = f": {notification['detail']}" if notification["detail"] else ""
    return f"{notification['outcome']}{tries}{detail}"


@app.command("replay")
def replay(
    notification_id: Annotated[str, typer.Argument(help="The id that `sent` lists.", show_default=False)],
    server: Server = None,
    token: Token = None,
) -> None:
    """Send a notification again, under the same id: a receiver that has it already can tell."""
    from inferometer.client import Client, quoted

    Client(server, token).send("POST", f"/api/v1/notifications/{quoted(notification_id)}/replay")
    answer(f"{notification_id} is due again; `inferometer alert sent` shows what becomes of it")


@app.command("silence")
def silence(
    matchers: Annotated[
        list[str],
        typer.Argument(help="LABEL=VALUE, !=, =~ or !~; an alert must pass all.", show_default=False),
    ],
    for_: Annotated[str, typer.Option("--for", help="How long, such as 30m or 2h; at most 30d.")] = "2h",
    comment: Annotated[str, typer.Option(help="Why, for whoever reads it.")] = "",
    server: Server = None,
    token: Token = None,
) -> None:
    """Hold back notifications for a while; what is held back stays listed. Prints the silence's id.

    Example: inferometer alert silence alertname=A9 pool=~chat-.* --for 2h --comment "new router"
    """
    from inferometer.client import Client
    from service.objectives.section import NotThatError
    from service.objectives.words import duration

    with telling(NotThatError):
        seconds = duration(for_) // 1_000_000
    body = {"matchers": [_matcher(text) for text in matchers], "seconds": seconds, "comment": comment}
    made = Client(server, token).send("POST", "/api/v1/silences", body)
    answer(made["id"])
    say(f"silent for {for_}; `inferometer alert unsilence {made['id']}` ends it sooner")


def _matcher(text: str) -> dict[str, str]:
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise Failure(f"matcher {text!r}: write LABEL=VALUE, as in alertname=A9 or pool=~chat-.*", code=2)
    label, operator, value = found.groups()
    return {"label": label, "operator": operator, "value": value}


@app.command("silences")
def silences(server: Server = None, token: Token = None, as_json: AsJson = False) -> None:
    """List the silences that stand: what is held back, until when, by whom and why."""
    from inferometer.client import Client

    standing = Client(server, token).get("/api/v1/silences")
    if as_json:
        answer_json(standing)
        return
    if not standing:
        say("no silence stands")
        return
    rows = [
        (
            each["id"],
            " ".join(each["matchers"]),
            _moment(each["ends_at_us"]),
            each["created_by"],
            each["comment"],
        )
        for each in standing
    ]
    answer_table("silences", ("id", "holds back", "until (UTC)", "by", "why"), rows)


@app.command("unsilence")
def unsilence(
    silence_id: Annotated[str, typer.Argument(help="The id that `silence` printed.", show_default=False)],
    server: Server = None,
    token: Token = None,
) -> None:
    """End a silence now."""
    from inferometer.client import Client, quoted

    Client(server, token).send("DELETE", f"/api/v1/silences/{quoted(silence_id)}")
    answer(f"ended {silence_id}")


@app.command("sink")
def sink(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65_535)] = 0,
    secret: Annotated[
        str | None, typer.Option(help="The receiver's secret, whsec_...", show_default="a new one, printed")
    ] = None,
) -> None:
    """Receive webhooks here, verify each signature, print one line each; Ctrl-C ends it.

    A stand-in for a pager: add it with `inferometer alert receiver add NAME URL --secret ... --allow-private`.
    """
    from alerts.errors import AlertsError
    from alerts.receivers.webhook import new_secret, signer
    from alerts.sink import run

    with telling(AlertsError, OSError):
        if secret is None:
            secret = new_secret()
            answer(f"secret: {secret}")
        signer(secret)
        run(port, secret)
