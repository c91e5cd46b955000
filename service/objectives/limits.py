"""Limits given on a command line, `ttft=2s`, as one objective of joint goodput."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from service.objectives.mistakes import suggestion
from service.objectives.section import NotThatError
from service.objectives.words import duration
from slo.errors import ObjectiveError
from slo.indicators.goodput import Goodput
from slo.objective import Objective

NAMES: Final = ("ttft", "tpot", "e2e")
TARGET: Final = Decimal("0.99")
"""What the goodput is held against when a recording is judged; nobody asked for it."""


def limits(texts: Sequence[str]) -> Objective:
    """Return the objective that each request keeps every limit: `["ttft=2s", "tpot=100ms"]`.

    It has no groups and no alerts. Raises `ObjectiveError` naming the text that is wrong.
    """
    given: dict[str, int] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in NAMES:
            raise ObjectiveError("limit", f"{text!r} limits nothing known", suggestion(name, NAMES))
        if name in given:
            raise ObjectiveError("limit", f"{name} is limited twice", "give each limit once")
        try:
            given[name] = duration(value)
        except NotThatError as error:
            raise ObjectiveError("limit", f"{text!r}: {error.cause}", error.hint) from None
    return Objective(
        name="goodput",
        display_name="Goodput",
        indicator=Goodput(ttft_us=given.get("ttft"), tpot_us=given.get("tpot"), e2e_us=given.get("e2e")),
        target=TARGET,
        policy="none",
        guess=True,
    )
