"""What a setting may be: each check returns the value in its own type or raises `ValueError` saying why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from telemetry.identity import MAX_NAME_LENGTH


def text(value: object) -> str:
    """Return a printable text of 1 to 200 characters."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_LENGTH or not value.isprintable():
        raise ValueError(f"must be a printable text of 1 to {MAX_NAME_LENGTH} characters")
    return value


def url(value: object) -> str:
    """Return an http or https address without a slash at its end."""
    parts = urlsplit(text(value))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// address")
    return text(value).rstrip("/")


def path(value: object) -> Path:
    """Return a path, `~` resolved."""
    return Path(value) if isinstance(value, Path) else Path(text(value)).expanduser()


def flag(value: object) -> bool:
    """Return a yes or no."""
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError("must be true or false")


def listen(value: object) -> tuple[str, int]:
    """Return an address and port to listen on."""
    address, _, port = text(value).rpartition(":")
    if not address or not port.isdigit() or int(port) > 65_535:
        raise ValueError("must be ADDRESS:PORT, such as 127.0.0.1:9477")
    return address.strip("[]"), int(port)


def one_of(words: Sequence[str]) -> Callable[[object], str]:
    """Return a check for one of some words."""

    def check(value: object) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return check


def number(low: float, high: float) -> Callable[[object], float]:
    """Return a check for a number between two, both allowed."""

    def check(value: object) -> float:
        try:
            found = float(value) if isinstance(value, str | int | float) else float("nan")
        except ValueError:
            found = float("nan")
        if isinstance(value, bool) or not low <= found <= high:
            raise ValueError(f"must be a number of {low:g} to {high:g}")
        return found

    return check


def whole(low: int, high: int) -> Callable[[object], int]:
    """Return a check for a whole number between two, both allowed."""
    bounded = number(low, high)

    def check(value: object) -> int:
        found = bounded(value)
        if not found.is_integer():
            raise ValueError(f"must be a whole number of {low:,} to {high:,}")
        return int(found)

    return check


def uuids(value: object) -> tuple[str, ...]:
    """Return UUIDs of GPUs."""
    if not isinstance(value, list | tuple) or not all(isinstance(uuid, str) for uuid in value):
        raise ValueError("must be a list of GPU UUIDs (`nvidia-smi -L` names them)")
    return tuple(text(uuid) for uuid in value)
