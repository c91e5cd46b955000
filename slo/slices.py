"""What a budget is counted in: requests, slices of time that went well, or the mean of slices.

The three methods of OpenSLO, each one strategy that turns the (good, total) of a slice into
units that windows add up. All else, windows, burn rates, budgets and alerts, is the same for
all three, and works on units as integers.

- a slice without traffic counts neither as good nor as bad: no data is never a kept promise;
- the running slice is not counted until it has ended, for its verdict could still change;
- a late fact that changes the verdict of a closed slice changes every window that holds it;
- slices lie on the grid of UTC: one of 5 minutes begins at :00, :05, …
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import ClassVar, Final

import numpy as np

from slo.durations import MICROS_PER_DAY, written
from slo.errors import ObjectiveError
from slo.ratios import above
from telemetry.frame import Ints
from telemetry.units import MICROS_PER_MINUTE

RATIO_SCALE: Final = 10**12
"""Units of a slice whose ratio counts: what is bad in it is rounded down to this part of it."""

_STEP: Final = 10**6
_SUBJECT: Final = "budgeting"


class Budgeting(ABC):
    """A budgeting method. Instances are frozen dataclasses of its parameters."""

    __slots__ = ()

    method: ClassVar[str]
    """Its name in OpenSLO."""
    scale: ClassVar[int] = 1
    """How many units one of them is."""

    @property
    def slice_us(self) -> int | None:
        """How long a slice is; None = nothing is cut in slices, each bucket counts as it stands."""
        return None

    @abstractmethod
    def units(self, sums: Ints) -> Ints:
        """Return the units of slices: (good, total) of units from (good, total) of requests.

        The first axis has the two; the others are kept. Units of a slice without traffic are 0.
        """

    @abstractmethod
    def share_of(self, unit: str) -> str:
        """Return what a target is the share of: `requests`, where the indicator's unit is requests."""

    def told(self, bad: int, total: int, unit: str) -> str:
        """Return counts for people: `144 of 10,000 requests`, `3.25 of 60 slices`."""
        parts = (Decimal(count) / self.scale for count in (bad, total))
        noun = unit if self.slice_us is None else "slices"
        return " of ".join(f"{round(part, 2).normalize():,f}" for part in parts) + f" {noun}"

    def content(self) -> object:
        """Return what a version of an objective depends on, as JSON has it."""
        return self.method


@dataclass(frozen=True, slots=True)
class Occurrences(Budgeting):
    """Requests: each good or bad one counts alike."""

    method = "occurrences"

    def units(self, sums: Ints) -> Ints:
        """Return the requests themselves."""
        return sums

    def share_of(self, unit: str) -> str:
        """Return the unit."""
        return unit


@dataclass(frozen=True, slots=True)
class Timeslices(Budgeting):
    """Slices of time: one is good when at least `target` of its requests were."""

    method = "timeslices"

    width_us: int
    target: Decimal

    def __post_init__(self) -> None:
        _check_width(self.width_us)
        if not self.target.is_finite() or not 0 < self.target <= 1:
            cause = f"{self.target} is not above 0 and at most 1"
            raise ObjectiveError(
                _SUBJECT, cause, "write the share of a slice that must be good, such as 0.95"
            )

    @property
    def slice_us(self) -> int:
        """How long a slice is."""
        return self.width_us

    def units(self, sums: Ints) -> Ints:
        """Return (1, 1) for a slice that went well, (0, 1) for one that did not, (0, 0) without traffic."""
        good, total = sums
        missed = above(total - good, total, 1 - Fraction(self.target))
        seen = total > 0
        return np.stack((seen & ~missed, seen)).astype(np.int64)

    def share_of(self, unit: str) -> str:
        """Return `5m slices with 95 % of requests`."""
        return f"{written(self.width_us)} slices with {percent(self.target)} of {unit}"

    def content(self) -> object:
        """Return the method and its parameters."""
        return [self.method, self.width_us, f"{self.target.normalize():f}"]


@dataclass(frozen=True, slots=True)
class RatioTimeslices(Budgeting):
    """The mean over slices of the share of good requests in each: quiet times weigh like busy ones.

    Exact to 1e-12 of a slice: the bad part of each is rounded down, so that rounding never
    crosses a threshold.
    """

    method = "ratio-timeslices"
    scale = RATIO_SCALE

    width_us: int

    def __post_init__(self) -> None:
        _check_width(self.width_us)

    @property
    def slice_us(self) -> int:
        """How long a slice is."""
        return self.width_us

    def units(self, sums: Ints) -> Ints:
        """Return the good part of each slice in units of `RATIO_SCALE`; all of it is the total."""
        good, total = sums
        divisor = np.maximum(total, 1)
        whole, rest = np.divmod((total - good) * _STEP, divisor)
        bad = whole * _STEP + rest * _STEP // divisor
        full = np.where(total > 0, RATIO_SCALE, 0)
        return np.stack((full - bad, full))

    def share_of(self, unit: str) -> str:
        """Return `requests in the mean of 5m slices`."""
        return f"{unit} in the mean of {written(self.width_us)} slices"

    def content(self) -> object:
        """Return the method and its parameter."""
        return [self.method, self.width_us]


OCCURRENCES: Final = Occurrences()


def percent(ratio: Decimal) -> str:
    """Return a share for people, as exact as it was written: `99.9 %`."""
    text = f"{ratio * 100:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def _check_width(width_us: int) -> None:
    if not 0 < width_us <= MICROS_PER_DAY or width_us % MICROS_PER_MINUTE or MICROS_PER_DAY % width_us:
        cause = f"a slice of {written(width_us)} is not whole minutes that divide a day"
        raise ObjectiveError(_SUBJECT, cause, "use 1m, 5m, 15m, 30m or 1h")
