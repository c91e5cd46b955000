"""`inferometer slo propose`: objectives drafted from what was served, as guesses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inferometer.options import Server, Token
from inferometer.saying import Failure, say, telling
from inferometer.slo_backtest import Dataset, Directory, chosen, opened
from inferometer.watching import Tell, progress

if TYPE_CHECKING:
    from inferometer.client import Client


def propose(
    range_: Annotated[str, typer.Option("--range", help="How many of the last days to look at.")] = "7d",
    directory: Directory = None,
    dataset: Dataset = "",
    server: Server = None,
    token: Token = None,
) -> None:
    """Draft objectives for each model from the last days' requests, as OpenSLO on standard output.

    Each is marked as a guess and says what it rests on; a model with under 1,000 requests gets
    none. Changes nothing: put in a file what you choose. See docs/slo-propose.md.
    """
    from inferometer.client import Client

    with progress() as tell:
        if directory is None:
            question = {"range": range_, "dataset": dataset}
            text, sentences = _asked(question, Client(server, token), tell)
        else:
            text, sentences = _read(range_, (directory, dataset), tell)
    for sentence in sentences:
        say(sentence)
    if not text:
        raise Failure("propose: nothing is proposed")
    sys.stdout.write(text)


def _asked(question: dict[str, str], client: Client, tell: Tell) -> tuple[str, list[str]]:
    last: dict[str, Any] = {}
    for last in client.lines("/api/v1/proposals", "", **question):
        if "error" in last:
            raise Failure(f"propose: {last['error']}")
        if "progress" in last:
            tell(f"{last['progress']:.0%} read")
    if "proposal" not in last:
        raise Failure("propose: the service ended its answer before it was whole; ask again")
    return last["proposal"], last["sentences"]


def _read(range_: str, where: tuple[Path, str], tell: Tell) -> tuple[str, list[str]]:
    from service.objectives.section import NotThatError
    from service.objectives.words import duration
    from service.past.proposing import openslo, sentences
    from service.past.proposing import propose as proposed
    from service.store.errors import StoreError
    from slo.proposal import Proposal

    proposal = Proposal((), ())
    with telling(NotThatError, StoreError, OSError), opened(where[0]) as facts:
        for told in proposed(chosen(facts, where[1]), duration(range_)):
            if isinstance(told, Proposal):
                proposal = told
            else:
                tell(f"{told.subject} {told.share:.0%} read")
    return openslo(proposal), sentences(proposal)
