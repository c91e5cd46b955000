"""How many requests ran at any instant, by one sweep over their spans.

Guarantee: O(n log n); the time integrals are exact to double precision, and do not depend on
the order of the spans.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from telemetry.frame import Floats, Ints, Mask


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Running requests over time: `running[i]` from `at_us[i]` until `at_us[i + 1]`."""

    at_us: Ints
    running: Ints

    @classmethod
    def of(cls, from_us: Ints, to_us: Ints) -> Occupancy:
        """Sweep spans [from_us, to_us)."""
        at_us = np.unique(np.concatenate([from_us, to_us]))
        change = np.zeros(len(at_us), dtype=np.int64)
        np.add.at(change, np.searchsorted(at_us, from_us), 1)
        np.add.at(change, np.searchsorted(at_us, to_us), -1)
        return cls(at_us, np.cumsum(change))

    def edges(self) -> Ints:
        """Return the instants at which the batch becomes empty or stops being so."""
        busy = self.running > 0
        return self.at_us[np.diff(busy, prepend=False)]

    def busy_at(self, at_us: Ints) -> Mask:
        """Tell whether at least one request runs from each instant on."""
        if len(self.at_us) == 0:
            return np.zeros(len(at_us), dtype=np.bool_)
        place = np.searchsorted(self.at_us, at_us, side="right") - 1
        busy: Mask = (place >= 0) & (self.running[np.maximum(place, 0)] > 0)
        return busy

    def share_until(self, at_us: Ints, *, at_least: int = 1) -> Floats:
        """Return the integral of 1 / max(running, `at_least`) up to each instant, in microseconds.

        Time with nobody running adds nothing. Differences of two answers are what matter.
        """
        if len(self.at_us) == 0:
            return np.zeros(len(at_us))
        rates = np.where(self.running > 0, 1.0 / np.maximum(self.running, at_least), 0.0)
        grown = np.concatenate([[0.0], np.cumsum(rates[:-1] * np.diff(self.at_us))])
        since = self.at_us[0]
        shares: Floats = np.interp(at_us - since, (self.at_us - since).astype(np.float64), grown)
        return shares
