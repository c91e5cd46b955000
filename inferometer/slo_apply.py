"""`inferometer slo list`, `apply` and `delete`: the objectives of a running service."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from inferometer.options import AsJson, Server, Token
from inferometer.saying import answer, answer_json, answer_table, say, telling


def list_(server: Server = None, token: Token = None, as_json: AsJson = False) -> None:
    """List the objectives of a service: what each promises, who says so, since when it is in force."""
    from inferometer.client import Client

    told = Client(server, token).get("/api/v1/objectives")
    if as_json:
        answer_json(told)
        return
    for mistake in told["mistakes"]:
        place = f"{mistake['file']}:{mistake['line']}:{mistake['column']}"
        say(f"{place}: {mistake['cause']}; {mistake['hint']} (what the file said before is in force)")
    if (counting := told["counting"]) is not None:
        say(f"{', '.join(counting['names'])}: {counting['done']} of {counting['total']} hours counted")
    columns = ("objective", "promise", "from", "version", "in force since (UTC)")
    answer_table("objectives", columns, [_row(each) for each in told["objectives"]])


def apply(
    files: Annotated[
        list[Path], typer.Argument(help="OpenSLO files, or folders of them.", show_default=False)
    ],
    check: Annotated[bool, typer.Option("--check", help="Only say what would be; nothing is kept.")] = False,
    server: Server = None,
    token: Token = None,
) -> None:
    """Give the objectives of files to a service; every one is checked before the first is given.

    The service counts their past before they are in force: `inferometer slo list` says how far it is.
    An objective that a file of the service defines can only be changed there.
    """
    from inferometer.client import Client, quoted
    from service.objectives.files import read, yaml_files
    from service.objectives.mistakes import ObjectiveFileError
    from service.objectives.rewriting import documents

    with telling(ObjectiveFileError, OSError):
        for path in files:
            read(path)
        found = [documents(file.read_text("utf-8")) for path in files for file in yaml_files(path)]
        texts = {name: text for each in found for name, text in each.items()}
    client = Client(server, token)
    for only_check in (True,) if check else (True, False):
        for name, text in texts.items():
            told = client.put_text(f"/api/v1/objectives/{quoted(name)}", text, check=str(only_check).lower())
            if only_check is check:
                answer(f"{name}: {told['promise']}")
                say(f"{name}: {'can be given' if check else _standing(told)}")


def delete(
    name: Annotated[str, typer.Argument(help="The objective's name.", show_default=False)],
    server: Server = None,
    token: Token = None,
) -> None:
    """Withdraw an objective that was given by `apply`; what it counted stays, its alerts end."""
    from inferometer.client import Client, quoted

    Client(server, token).send("DELETE", f"/api/v1/objectives/{quoted(name)}")
    answer(f"withdrawn {name}")


def _standing(told: dict[str, Any]) -> str:
    return "in force already" if told["in_force"] else "in force once its past is counted"


def _row(each: dict[str, Any]) -> tuple[str, str, str, str, str]:
    since = each["since_us"]
    told = f"{datetime.fromtimestamp(since / 1e6, UTC):%Y-%m-%d %H:%M:%S}" if since else "being counted"
    return each["name"], each["promise"], each["source"], each["version"], told
