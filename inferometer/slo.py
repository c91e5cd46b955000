"""`inferometer slo`: promises in files checked, and how they are kept."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from inferometer.options import AsJson, Server, Token
from inferometer.saying import answer, answer_json, answer_table, say
from inferometer.slo_apply import apply, delete, list_
from inferometer.slo_backtest import backtest
from inferometer.slo_convert import convert
from inferometer.slo_correct import app as corrections
from inferometer.slo_history import history
from inferometer.slo_propose import propose
from inferometer.slo_test import test

app = typer.Typer(help="Objectives: files checked, budgets and burn rates shown.", no_args_is_help=True)
app.command("apply")(apply)
app.command("backtest")(backtest)
app.command("convert")(convert)
app.add_typer(corrections, name="correct")
app.command("delete")(delete)
app.command("history")(history)
app.command("list")(list_)
app.command("propose")(propose)
app.command("test")(test)


@app.command("check")
def check(
    files: Annotated[
        list[Path], typer.Argument(help="OpenSLO files, or folders of them.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Read objective files as the service would, and print each promise, or every mistake.

    Changes nothing; exits 1 when there is a mistake. The format: docs/objectives.md.
    """
    from inferometer.saying import Failure
    from service.objectives.corrections import NamedCorrection
    from service.objectives.files import everything
    from service.objectives.mistakes import Mistake, ObjectiveFileError
    from slo.durations import written
    from slo.objective import Objective

    objectives: list[Objective] = []
    corrections: list[NamedCorrection] = []
    mistakes: list[Mistake] = []
    for path in files:
        try:
            found = everything(path)
            objectives += found.objectives
            corrections += found.corrections
        except ObjectiveFileError as error:
            mistakes += error.mistakes
    if mistakes:
        raise Failure(str(ObjectiveFileError(mistakes)))
    if as_json:
        answer_json(
            [{"name": each.name, "promise": each.sentence(), "version": each.version} for each in objectives]
        )
        return
    for each in objectives:
        answer(f"{each.name}: {each.sentence()}{_groups(each.group_by)}")
        for pair in each.silent_pairs():
            windows = f"{written(pair.long_us)} and {written(pair.short_us)}"
            say(f"{each.name}: its {pair.severity} over {windows} can never fire: {each.why_silent(pair)}")
    for one in corrections:
        answer(f"{one.name}: {one.asked.sentence()}")
        for unknown in sorted(set(one.asked.objectives) - {each.name for each in objectives}):
            say(f"{one.name}: no objective of these files is called {unknown}; is it given elsewhere?")


def _groups(group_by: tuple[str, ...]) -> str:
    return f", for each {' and '.join(group_by)}" if group_by else ""


@app.command("status")
def status(server: Server = None, token: Token = None, as_json: AsJson = False) -> None:
    """Show every promise: budget left, and how fast each window burns it (1 = on pace)."""
    from inferometer.client import Client

    client = Client(server, token)
    view = client.get("/api/v1/views/objectives")
    objectives: list[dict[str, Any]] = view["objectives"]
    foreseen = {(each["objective"], each["group"]): each for each in client.get("/api/v1/forecasts")}
    for each in objectives:
        each["forecast"] = foreseen.get((each["objective"], each["group"]))
    if as_json:
        answer_json(objectives)
        return
    for sentence in (*view["marks"], *(each["text"] for each in view["sentences"])):
        say(sentence)
    windows = list(dict.fromkeys(window for row in objectives for window in row["burn"]))
    columns = (
        "objective",
        "group",
        "state",
        "#target %",
        "#good",
        "#of",
        "#budget left",
        "spent in (80 %)",
        *(f"#{w}" for w in windows),
    )
    answer_table("burn rates", columns, [_row(row, windows) for row in objectives])


def _row(row: dict[str, Any], windows: list[str]) -> list[Any]:
    left = row["budget_left"]
    burns = [row["burn"].get(window) for window in windows]
    return [
        row["objective"],
        row["group"],
        row["state"],
        row["target"],
        f"{row['good']:,}",
        f"{row['total']:,}",
        None if left is None else f"{left:,.1%}",
        _spent_in(row["forecast"], left),
        *(None if burn is None else f"{burn:.2f}" for burn in burns),
    ]


def _spent_in(forecast: dict[str, Any] | None, left: float | None) -> str | None:
    """Return between when and when the budget will be spent, from now: `3.1d to 8d`, `not soon`."""
    if forecast is None or left is None:
        return None
    if left <= 0:
        return "spent"
    if forecast["earliest_us"] is None:
        return "not soon"
    now_us = time.time() * 1e6
    ends = [forecast[name] for name in ("earliest_us", "latest_us")]
    return " to ".join("never" if end is None else _days((end - now_us) / 1e6) for end in ends)


def _days(seconds: float) -> str:
    days = max(seconds, 0) / 86_400
    return f"{days:.1f}d" if days >= 1 else f"{days * 24:.1f}h"
