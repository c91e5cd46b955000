"""`inferometer alert receiver`: the webhooks that alerts go to."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import typer

from inferometer.options import AsJson, DataDir, Server, StateUrl, Token
from inferometer.saying import Failure, answer, answer_json, answer_table, say, telling
from inferometer.state_store import note_audit, opened_state

app = typer.Typer(help="Webhooks that alerts go to: Alertmanager's body, signed.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="What the receiver is called.", show_default=False)]


@app.command("add")
def add(
    name: Name,
    url: Annotated[str, typer.Argument(help="Where to POST, https://...", show_default=False)],
    secret: Annotated[
        str | None,
        typer.Option(help="Standard Webhooks secret, whsec_...", show_default="a new one, printed once"),
    ] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Allow a private or loopback address.")
    ] = False,
    data_dir: DataDir = None,
    state_url: StateUrl = None,
) -> None:
    """Add a webhook, or change the one of this name. A running service uses it at once.

    Every alert goes to every receiver. Try it with `inferometer alert receiver test NAME`.
    """
    from pydantic import ValidationError

    from alerts.errors import AlertsError
    from service.alerting.receiving import Receiving
    from service.settings import ReceiverSettings

    told: list[str] = []
    try:
        wanted = ReceiverSettings(name=name, url=url, secret=secret, allow_private=allow_private)
    except ValidationError as error:
        raise Failure(f"receiver {name!r}: {error.errors()[0]['msg']}", code=2) from None
    with opened_state(data_dir, state_url, make=True) as state, telling(AlertsError):
        Receiving(state, external_url="").keep([wanted], tell=told.append)
        note_audit(state, "add receiver", name)
    for sentence in told:
        answer(sentence)
    say(f"{name} is told about every alert from now on")


@app.command("list")
def list_(data_dir: DataDir = None, state_url: StateUrl = None, as_json: AsJson = False) -> None:
    """List the receivers. Their secrets, and the paths of their URLs, are not shown."""
    with opened_state(data_dir, state_url, make=False) as state:
        rows = [
            (each.name, each.kind, _shown(each.url), each.allow_private) for each in state.receivers.listed()
        ]
    columns = ("name", "kind", "url", "allow_private")
    if as_json:
        answer_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        answer_table("receivers", columns, rows)


@app.command("test")
def send_test(name: Name, server: Server = None, token: Token = None) -> None:
    """Have the running service send a test message now, and say how it was answered."""
    from inferometer.client import Client, quoted

    outcome = Client(server, token).send("POST", f"/api/v1/receivers/{quoted(name)}/test")
    if not outcome["delivered"]:
        raise Failure(f"receiver {name}: not delivered: {outcome['detail']}")
    answer(f"delivered: {outcome['detail']}")


def _shown(url: str) -> str:
    """Return a URL without what may be a secret: credentials, path and query."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    rest = "/..." if parts.path.strip("/") or parts.query else "/"
    return f"{parts.scheme}://{parts.hostname}{port}{rest}"
