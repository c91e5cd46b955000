"""Ratios of integers compared exactly: by cross-multiplication, never as floats."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import numpy as np

from telemetry.frame import Ints, Mask

_LARGEST: Final = 2**63 - 1


def above(part: Ints, whole: Ints, ratio: Fraction) -> Mask:
    """Return where part/whole > ratio, strictly and exactly. False where whole is 0."""
    factor = max(ratio.numerator, ratio.denominator)
    if int(whole.max(initial=0)) * factor > _LARGEST:
        part, whole = part.astype(np.object_), whole.astype(np.object_)
    mask: Mask = np.asarray(part * ratio.denominator > whole * ratio.numerator, dtype=np.bool_)
    return mask
