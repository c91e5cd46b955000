"""`inferometer quarantine`: batches that somebody could not take, and why."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from inferometer.options import AsJson
from inferometer.saying import Failure, answer_json, answer_table, say, telling

_JOURNALS: Final = ("spool.db", "journal.db")
"""An agent's, and a service's."""


def quarantine(
    data_dir: Annotated[
        Path, typer.Argument(help="Data directory of an agent or a service; either may be running.")
    ],
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many to show, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the batches that were set aside: refused by the service, or unreadable to one of its readers.

    They are kept for a person, the newest 1,000 of them; everything else goes on without them.
    """
    from journal import JournalFault, quarantined_in

    places = [data_dir / name for name in _JOURNALS if (data_dir / name).is_file()]
    if not places:
        raise Failure(f"{data_dir}: neither {' nor '.join(_JOURNALS)} is there; name a data directory")
    with telling(JournalFault):
        found = [each for place in places for each in quarantined_in(place, limit)]
    if as_json:
        answer_json([asdict(each) for each in found])
        return
    if not found:
        say("nothing is in quarantine")
        return
    rows = [
        [_instant(each.received_at_us), each.agent, each.boot, each.seq, each.size, each.reader, each.reason]
        for each in found
    ]
    answer_table("", ["sealed or received", "agent", "boot", "#seq", "#bytes", "reader", "why"], rows)


def _instant(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"
