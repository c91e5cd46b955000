"""Inference engines: one file each, which says how to recognise it, what its metrics mean, its traps.

A file in this folder that defines `ENGINE` is an engine; nothing else names it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache

from collector.exposition import family_of, names


class Fold(Enum):
    """How several series of one replica (models, adapters) become one value."""

    SUM = "sum"
    MAX = "max"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One column of an engine sample and where it is read.

    `names` are series names of which the first one present is used, newest first: an engine
    that shows an old and a new name at once is counted once. `added` are series to add to it.
    """

    column: str
    names: tuple[str, ...]
    added: tuple[str, ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Only series whose labels have one of these values."""
    value_label: str | None = None
    """Read the value from this label of an info series instead."""
    scale: int = 1
    fold: Fold = Fold.SUM
    shared: bool = False
    """A series without a rank is about every replica of the page, not to be counted once."""

    def series(self) -> tuple[str, ...]:
        """Return every series name it may be read from."""
        return self.names + self.added


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A kind of inference server, as data."""

    name: str
    title: str
    prefix: str
    """What its series begin with, and how a page is recognised."""
    ports: tuple[int, ...]
    """Where it listens unless told otherwise."""
    metrics_path: str
    version_path: str | None
    """Where it tells its version as JSON `{"version": ...}`."""
    rank_label: str
    model_label: str
    signals: tuple[Signal, ...]
    awake: Signal | None = None
    """1 while it serves, 0 while it sleeps; None when it cannot sleep."""
    expected: tuple[str, ...] = ()
    """Columns without which it cannot be judged: `inferometer doctor` names a missing one."""
    advice: str = ""
    """What to do when its page has none of its series."""

    def families(self) -> frozenset[str]:
        """Return the families to parse of its page."""
        signals = (*self.signals, *((self.awake,) if self.awake else ()))
        return frozenset(family_of(name) for signal in signals for name in signal.series())


@cache
def engines() -> tuple[Engine, ...]:
    """Return every engine this folder defines, by name."""
    modules = (
        importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    )
    found = [module.ENGINE for module in modules if hasattr(module, "ENGINE")]
    return tuple(sorted(found, key=lambda engine: engine.name))


def recognise(body: bytes) -> Engine | None:
    """Return the engine whose series a metrics page has; None when it is no engine's."""
    return next((engine for engine in engines() if names(body, engine.prefix)), None)
