"""`inferometer slo backtest`: when objectives would have alerted over the kept history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inferometer.options import AsJson, Server, Token
from inferometer.saying import Failure, answer, answer_json, answer_table, telling
from inferometer.watching import Tell, progress

if TYPE_CHECKING:
    from inferometer.client import Client
    from service.past.backtesting import History
    from service.store.facts import Facts

COLUMNS = ("severity", "group", "from (UTC)", "to (UTC)", "windows", "#burn", "#worst")

Directory = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        help="Ask the facts in this directory, each import by itself, instead of a running service.",
        show_default=False,
    ),
]

Dataset = Annotated[
    str, typer.Option("--dataset", help="Ask this import alone, instead of live facts.", show_default=False)
]


def backtest(
    files: Annotated[
        list[Path], typer.Argument(help="OpenSLO files, or folders of them.", show_default=False)
    ],
    range_: Annotated[str, typer.Option("--range", help="How far back, such as 7d.")] = "30d",
    directory: Directory = None,
    dataset: Dataset = "",
    server: Server = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Say when each objective would have alerted over the kept history, had it been in force.

    Counts stored facts hour by hour, or takes the counts there are. Changes nothing. With --dir it
    asks a directory that `inferometer import --into` filled, with --dataset an import that the service
    has. See docs/slo-backtest.md.
    """
    from inferometer.client import Client

    with progress() as tell:
        if directory is None:
            question = {"range": range_, "dataset": dataset}
            found = list(_asked(files, question, Client(server, token), tell))
        else:
            found = list(_read(files, range_, (directory, dataset), tell))
    if as_json:
        answer_json(found)
        return
    for each in found:
        _show(each)


def _asked(
    files: list[Path], question: dict[str, str], client: Client, tell: Tell
) -> Iterator[dict[str, Any]]:
    from service.objectives.files import read, yaml_files
    from service.objectives.mistakes import ObjectiveFileError

    for path in files:
        with telling(ObjectiveFileError, OSError):
            read(path)
            texts = [file.read_text(encoding="utf-8") for file in yaml_files(path)]
        for text in texts:
            for line in client.lines("/api/v1/backtests", text, **question):
                if "error" in line:
                    raise Failure(f"backtest {path}: {line['error']}")
                if "backtest" in line:
                    yield line["backtest"]
                else:
                    tell(f"{line['objective']}: {line['progress']:.0%} counted")


def _read(files: list[Path], range_: str, where: tuple[Path, str], tell: Tell) -> Iterator[dict[str, Any]]:
    from service.objectives.files import read
    from service.objectives.mistakes import ObjectiveFileError
    from service.objectives.section import NotThatError
    from service.objectives.words import duration
    from service.past.backtesting import Backtest
    from service.past.backtesting import backtest as tested
    from service.store.errors import StoreError

    with telling(ObjectiveFileError, NotThatError, StoreError, OSError), opened(where[0]) as facts:
        objectives = [each for path in files for each in read(path)]
        for history in chosen(facts, where[1]):
            for told in tested(history, objectives, duration(range_)):
                if isinstance(told, Backtest):
                    yield told.to_json()
                else:
                    tell(f"{history.dataset} {told.subject}: {told.share:.0%} counted")


@contextmanager
def opened(directory: Path) -> Iterator[Facts]:
    """Yield the facts of a directory that no service holds, migrated. Raises `StoreError`."""
    from service.holder import running_url
    from service.settings import Settings
    from service.store.facts import Facts
    from service.store.migrate import upgrade_facts

    settings = Settings(data_dir=directory)
    url = running_url(directory)
    if url is not None:
        asked = f"ask that with --server {url}, its imports with --dataset NAME"
        raise Failure(f"--dir {directory}: the service at {url} holds it; {asked}")
    if not settings.facts_path.is_dir():
        raise Failure(
            f"--dir {directory}: there are no facts; `inferometer import PATH --into DIR` makes them"
        )
    upgrade_facts(settings.facts_address)
    with closing(Facts.open(settings.facts_address)) as facts:
        yield facts


def chosen(facts: Facts, dataset: str) -> list[History]:
    """Return the datasets of a store, or the one that is named, by its whole name or a short one."""
    from service.past.backtesting import histories
    from service.past.imports import short_name

    found = histories(facts)
    named = [each for each in found if dataset in ("", each.dataset, short_name(each.dataset))]
    if dataset and not named:
        there_are = ", ".join(short_name(each.dataset) for each in found) or "none"
        raise Failure(f"--dataset {dataset}: there is no such import; there are {there_are}")
    return named


def _show(found: dict[str, Any]) -> None:
    where = found["dataset"] or "live facts"
    answer(f"{found['objective']}, {where}: {found['promise']}")
    if not found["total"]:
        hint = "" if found["dataset"] else "; ask an import with --dataset"
        answer(f"  no data: nothing it counts is kept of that time{hint}")
        return
    kept = found["good"] / found["total"]
    answer(
        f"  {found['good']:,} of {found['total']:,} were good ({kept:.3%}), "
        f"{moment(found['from_us'])} to {moment(found['to_us'])} UTC, from {found['counted_from']}; "
        f"facts reach back to {moment(found['reach_us'])}"
    )
    alerts = found["alerts"]
    if not alerts:
        answer("  would not have alerted")
        return
    pages = sum(each["severity"] == "page" for each in alerts)
    answer(f"  would have paged {_times(pages)} and opened a ticket {_times(len(alerts) - pages)}")
    answer_table("", COLUMNS, [_row(each) for each in alerts])


def _row(alert: dict[str, Any]) -> list[Any]:
    return [
        alert["severity"],
        "/".join(alert["group"].values()),
        moment(alert["from_us"]),
        "still" if alert["to_us"] is None else moment(alert["to_us"]),
        f"{alert['long']} & {alert['short']}",
        f"{alert['burn']:.2f}",
        f"{alert['worst']:.2f}",
    ]


def _times(count: int) -> str:
    return {0: "never", 1: "once"}.get(count, f"{count:,} times")


def moment(at_us: int) -> str:
    """Return an instant for people, UTC to the minute."""
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M}"
