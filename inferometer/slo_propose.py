"""`inferometer slo propose`: objectives drafted from what was served, as guesses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from inferometer.options import Server, Token
from inferometer.saying import Failure, say, telling
from inferometer.slo_backtest import Directory, opened
from inferometer.watching import Tell, progress


def propose(
    range_: Annotated[str, typer.Option("--range", help="How many of the last days to look at.")] = "7d",
    directory: Directory = None,
    server: Server = None,
    token: Token = None,
) -> None:
    """Draft objectives for each model from the last days' requests, as OpenSLO on standard output.

    Each is marked as a guess and says what it rests on; a model with under 1,000 requests gets
    none. Changes nothing: put in a file what you choose. See docs/slo-propose.md.
    """
    with progress() as tell:
        if directory is None:
            text, sentences = _asked(range_, server, token, tell)
        else:
            text, sentences = _read(range_, directory, tell)
    for sentence in sentences:
        say(sentence)
    if not text:
        raise Failure("propose: nothing is proposed")
    sys.stdout.write(text)


def _asked(range_: str, server: str | None, token: str | None, tell: Tell) -> tuple[str, list[str]]:
    from inferometer.client import Client

    last: dict[str, Any] = {}
    for last in Client(server, token).lines("/api/v1/proposals", "", range=range_):
        if "error" in last:
            raise Failure(f"propose: {last['error']}")
        if "progress" in last:
            tell(f"{last['progress']:.0%} read")
    return last["proposal"], last["sentences"]


def _read(range_: str, directory: Path, tell: Tell) -> tuple[str, list[str]]:
    from service.objectives.section import NotThatError
    from service.objectives.words import duration
    from service.past.backtesting import histories
    from service.past.proposing import openslo, sentences
    from service.past.proposing import propose as proposed
    from service.store.errors import StoreError
    from slo.proposal import Proposal

    proposal = Proposal((), ())
    with telling(NotThatError, StoreError, OSError), opened(directory) as facts:
        for told in proposed(histories(facts), duration(range_)):
            if isinstance(told, Proposal):
                proposal = told
            else:
                tell(f"{told.subject} {told.share:.0%} read")
    return openslo(proposal), sentences(proposal)
