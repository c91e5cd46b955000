"""Whether the bill adds up: the ledger's rows against the price book, GPU by GPU, in integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cost.charge import charges
from cost.prices import PriceBook
from service.store.ledger import STANDING
from service.views.asking import Asked, Queries, rows
from telemetry.units import MICROS_PER_HOUR

_RUNS: Final = (
    "SELECT gpu_uuid, min(start_us) AS start_us, max(end_us) AS end_us, sum(nano) AS nano FROM ("
    "SELECT gpu_uuid, start_us, end_us, nano, sum(toInt64(start_us != end_before)) OVER "
    "(PARTITION BY gpu_uuid ORDER BY start_us) AS run FROM ("
    "SELECT *, lagInFrame(end_us) OVER (PARTITION BY gpu_uuid ORDER BY start_us "
    "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS end_before FROM ("
    "SELECT gpu_uuid, interval_start_us AS start_us, any(interval_end_us) AS end_us, "
    "sum(ifNull(amount_nano, 0)) AS nano" + STANDING + " GROUP BY gpu_uuid, start_us))) "
    "GROUP BY gpu_uuid, run ORDER BY gpu_uuid, start_us LIMIT 50000"
)
"""Intervals that follow one another without a hole, as one; the charge over them is one difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was compared. Money in nano-currency; `unknown` GPUs have a model nobody knows now."""

    gpus: int
    gpu_hours: float
    charged_nano: int
    """What the price book says that these GPUs cost over these intervals."""
    ledger_nano: int
    unknown: tuple[str, ...]

    @property
    def difference_nano(self) -> int:
        """The ledger minus the charge; 0 = every line adds up."""
        return self.ledger_nano - self.charged_nano


def check(
    store: Queries,
    question: Asked,
    *,
    ledger_version: str,
    prices: PriceBook,
    models: Mapping[str, str | None],
) -> Check:
    """Compare the ledger of a range with the price book. One statement.

    `models` are the models of the GPUs known to the service; another GPU is not compared.
    """
    runs = rows(store, _RUNS, question.bound(ledger_version=ledger_version))
    known = [run for run in runs if run["gpu_uuid"] in models]
    charged = 0
    for run in known:
        quote = prices.quote(run["gpu_uuid"], models[run["gpu_uuid"]])
        edges = np.array([run["start_us"], run["end_us"]], dtype=np.int64)
        charged += int(charges(quote.segments, edges)[0])
    return Check(
        gpus=len({run["gpu_uuid"] for run in known}),
        gpu_hours=sum(run["end_us"] - run["start_us"] for run in known) / MICROS_PER_HOUR,
        charged_nano=charged,
        ledger_nano=sum(run["nano"] for run in known),
        unknown=tuple(sorted({run["gpu_uuid"] for run in runs} - models.keys())),
    )


def told(found: Check, currency: str) -> dict[str, Any]:
    """Return a check in words: both sums to the last billionth, and the difference if there is any."""
    if not found.gpus:
        return {"adds_up": None, "words": "Nothing has been closed in this range yet."}
    both = (
        f"{found.gpus:,} GPUs over {found.gpu_hours:,.3f} GPU-hours: the ledger's rows sum to "
        f"{exact(found.ledger_nano)} {currency}, the price book charges {exact(found.charged_nano)}."
    )
    if found.unknown:
        both += f" Not compared, for their model is not known: {', '.join(found.unknown[:5])}."
    if found.difference_nano == 0:
        return {"adds_up": True, "words": f"{both} No difference."}
    return {
        "adds_up": False,
        "words": f"{both} The difference is {exact(found.difference_nano)} {currency}: "
        "a price was changed after these intervals were closed, or rows are missing.",
    }


def exact(nano: int) -> str:
    """Return an amount with all its nine decimals."""
    whole, rest = divmod(abs(nano), 10**9)
    return f"{'-' if nano < 0 else ''}{whole:,}.{rest:09d}"
