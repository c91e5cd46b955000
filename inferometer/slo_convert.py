"""`inferometer slo convert`: objectives from one language to another."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inferometer.saying import Failure, say

if TYPE_CHECKING:
    from service.objectives.languages.rules import Wanted

SOURCES = "openslo | sloth"
TARGETS = "openslo | openslo/v1 | openslo/v2alpha | prometheus"


def convert(
    files: Annotated[list[Path], typer.Argument(help="Files to convert together.", show_default=False)],
    source: Annotated[str, typer.Option("--from", help=SOURCES)],
    target: Annotated[str, typer.Option("--to", help=TARGETS)],
    inline: Annotated[bool, typer.Option("--inline", help="Resolve every reference, or fail.")] = False,
    period: Annotated[str, typer.Option(help="Period of the budget where a spec gives none: 30d.")] = "",
    windows: Annotated[Path | None, typer.Option(help="A Sloth AlertWindows file.")] = None,
    labels: Annotated[list[str] | None, typer.Option("--label", help="KEY=VALUE for every record.")] = None,
    recordings: Annotated[bool, typer.Option(help="Write recording rules.")] = True,
    alerts: Annotated[bool, typer.Option(help="Write alerting rules.")] = True,
) -> None:
    """Write objectives in another language to standard output: OpenSLO or Prometheus rules.

    `--from sloth` takes prometheus/v1, its Kubernetes form and OpenSLO v1alpha, told apart by
    content. Exits 1 with every mistake: file, line, column, cause and hint. See docs/slo-convert.md.
    """
    from service.objectives.languages.convert import Asked, Source, Target
    from service.objectives.languages.convert import convert as converted
    from service.objectives.languages.durations import prometheus_us
    from service.objectives.languages.readers import one_of
    from service.objectives.mistakes import ObjectiveFileError
    from service.objectives.section import NotThatError

    try:
        asked = Asked(
            source=Source(one_of(*Source)(source)),
            target=Target(one_of(*Target)(target)),
            inline=inline,
            period_us=prometheus_us(period) if period else None,
            windows=windows,
            wanted=_wanted(labels or [], recordings=recordings, alerts=alerts),
        )
        done = converted(files, asked)
    except NotThatError as error:
        raise Failure(f"convert: {error.cause}; {error.hint}") from None
    except ObjectiveFileError as error:
        raise Failure(str(error)) from None
    for left_out in done.ignored:
        say(f"left out: {left_out}")
    sys.stdout.write(done.text)


def _wanted(labels: list[str], *, recordings: bool, alerts: bool) -> Wanted:
    from importlib.metadata import version

    from service.objectives.languages.readers import label
    from service.objectives.languages.rules import Wanted

    return Wanted(
        recordings=recordings,
        alerts=alerts,
        labels=dict(label(each) for each in labels),
        version=f"inferometer {version('inferometer')}",
    )
