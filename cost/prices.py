"""The price book: what a GPU costs per hour, since when, and who says so.

Money is integer nano-currency. A GPU that no price names is unpriced, which is a state and
not $0; a GPU whose model is not known takes the only price given, and the quote says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import InvalidOperation
from typing import Final

from telemetry.units import nano

MAX_NANO_PER_HOUR: Final = nano("1000000")
"""A million an hour for one GPU: above it a price is taken for a mistake."""


class PriceError(ValueError):
    """A price that cannot be used: operation, subject, cause and hint."""


@dataclass(frozen=True, slots=True)
class Segment:
    """From `from_us` (UTC) on, until the next segment, a GPU costs `nano_per_hour`."""

    from_us: int
    nano_per_hour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One line of the book.

    `selector` is a GPU's UUID, or words of its model's name (`A10` names `NVIDIA A10`, not
    `NVIDIA A10G`). `source` and `dated` say where the price is from and as of which day.
    """

    selector: str
    nano_per_hour: int
    from_us: int = 0
    source: str = ""
    dated: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    """What one GPU costs over time. No segments = unpriced; before the first = unpriced.

    `assumption` is the sentence a person must see when the price was not found by the GPU's
    own name; None when it was.
    """

    segments: tuple[Segment, ...]
    assumption: str | None = None


def parse(text: str, *, from_us: int = 0, source: str = "", dated: str = "") -> Price:
    """Return the price of a text like `A10=1.10` (currency units per GPU-hour).

    It holds from `from_us` (UTC microseconds; 0 = always). Raises `PriceError`.
    """
    selector, equals, amount = (part.strip() for part in text.rpartition("="))
    if not (selector and equals):
        raise PriceError(f"read price {text!r}: no `=`; write MODEL=AMOUNT, as in A10=1.10")
    try:
        per_hour = nano(amount)
    except (InvalidOperation, ValueError):
        raise PriceError(
            f"read price {text!r}: {amount!r} is not an amount per GPU-hour; write digits, as in A10=1.10"
        ) from None
    if not 0 <= per_hour <= MAX_NANO_PER_HOUR:
        raise PriceError(f"read price {text!r}: {amount} per hour is outside 0 .. 1,000,000; check the unit")
    return Price(selector=selector, nano_per_hour=per_hour, from_us=from_us, source=source, dated=dated)


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Prices in one currency; two currencies are never added."""

    prices: tuple[Price, ...]
    currency: str = "USD"

    def quote(self, gpu_uuid: str, model: str | None) -> Quote:
        """Return the segments for one GPU: by its UUID, else by its model, else the only price.

        The most specific selector wins (most words); two equally specific ones raise
        `PriceError`, because a bill must not depend on their order.
        """
        own = self._segments(gpu_uuid)
        if own:
            return Quote(own)
        if model is not None:
            return Quote(self._segments(self._selector_for(model)))
        selectors = sorted({price.selector for price in self.prices})
        if len(selectors) != 1:
            return Quote(())
        said = f"the model of {gpu_uuid} is not known; priced as {selectors[0]}, the only price given"
        return Quote(self._segments(selectors[0]), said)

    def _selector_for(self, model: str) -> str | None:
        words = _words(model)
        fitting = sorted({price.selector for price in self.prices if _words(price.selector) <= words})
        if not fitting:
            return None
        most = max(len(_words(selector)) for selector in fitting)
        best = [selector for selector in fitting if len(_words(selector)) == most]
        if len(best) > 1:
            raise PriceError(
                f"price {model!r}: {' and '.join(best)} name it equally well; keep one, or name it in full"
            )
        return best[0]

    def _segments(self, selector: str | None) -> tuple[Segment, ...]:
        chosen = sorted((p.from_us, p.nano_per_hour) for p in self.prices if p.selector == selector)
        if len({from_us for from_us, _ in chosen}) != len(chosen):
            raise PriceError(f"price {selector!r}: two prices from the same instant; keep one of them")
        return tuple(Segment(*each) for each in chosen)


def _words(name: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z0-9.]+", name.casefold()))


def changes(quotes: Sequence[Quote]) -> list[int]:
    """Return every instant (UTC microseconds) at which one of the quotes changes, sorted."""
    return sorted({segment.from_us for quote in quotes for segment in quote.segments})
