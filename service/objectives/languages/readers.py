"""How single words of these languages are read; each raises `NotThatError` with a hint."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from service.objectives.mistakes import suggestion
from service.objectives.section import NotThatError

WINDOW: Final = re.compile(r"\{\{-?\s*\.window\s*-?\}\}")
"""Where a query takes its window: `[{{.window}}]`."""

LABEL_NAME: Final = r"[a-zA-Z_][a-zA-Z0-9_]*"
"""What every Prometheus takes for a label's name; 3 takes more."""

_CLOSES: Final = {")": "(", "]": "[", "}": "{"}
_QUOTED: Final = re.compile(r"""\{\{.*?\}\}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|\#[^\n]*""")


def pattern(expression: str, what: str, example: str) -> Callable[[str], str]:
    """Return a reader of texts that match an expression; the others are not `what`."""
    compiled = re.compile(expression)

    def read(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise NotThatError(f"{text!r} is not {what}", f"write one such as {example}")
        return text

    return read


def one_of(*words: str) -> Callable[[str], str]:
    """Return a reader of one of some words."""

    def read(text: str) -> str:
        if text not in words:
            raise NotThatError(f"{text!r} is not known here", suggestion(text, words))
        return text

    return read


def number(text: str) -> Decimal:
    """Return a number as written, exactly."""
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise NotThatError(f"{text!r} is not a number", "write one such as 99.9")
    return value


def between(low: str, high: str, *, ends: str) -> Callable[[str], Decimal]:
    """Return a reader of numbers in a range; `ends` as in `[)` says which ends belong to it."""

    def read(text: str) -> Decimal:
        value, least, most = number(text), Decimal(low), Decimal(high)
        above = value >= least if ends[0] == "[" else value > least
        below = value <= most if ends[1] == "]" else value < most
        if not (above and below):
            raise NotThatError(f"{text} is not in {ends[0]}{low}, {high}{ends[1]}", "write a number in it")
        return value

    return read


def positive_whole(text: str) -> int:
    """Return a whole number above 0."""
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise NotThatError(f"{text!r} is not a whole number above 0", "write one such as 30")
    return int(text)


def not_empty(text: str) -> str:
    """Return a text that says something."""
    if not text.strip():
        raise NotThatError("it is empty", "write a word")
    return text


def time_zone(text: str) -> ZoneInfo:
    """Return the IANA time zone of a name."""
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise NotThatError(f"{text!r} is not an IANA time zone", "write one such as Europe/Warsaw") from None


def query(text: str) -> str:
    """Return a PromQL query: not empty, its brackets closed, its window given as {{.window}}."""
    if not text.strip():
        raise NotThatError("the query is empty", "write PromQL")
    if WINDOW.search(text) is None:
        raise NotThatError("the query has no window of its own", "write [{{.window}}] for its range")
    opened: list[str] = []
    for sign in _QUOTED.sub("", text):
        if sign in _CLOSES.values():
            opened.append(sign)
        elif sign in _CLOSES and (not opened or opened.pop() != _CLOSES[sign]):
            raise NotThatError(f"the query closes {sign!r} that is not open", "balance its brackets")
    if opened:
        raise NotThatError(f"the query never closes {opened[-1]!r}", "balance its brackets")
    return text


def label(text: str) -> tuple[str, str]:
    """Return the name and value of `team=chat`."""
    name, sign, value = text.partition("=")
    if not sign or re.fullmatch(LABEL_NAME, name) is None:
        raise NotThatError(f"{text!r} is not a label", "write one such as team=chat")
    return name, value
