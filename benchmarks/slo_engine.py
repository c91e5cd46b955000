"""CPU of judging 10,000 groups over 8 windows, of closing a minute, and of folding requests.

    python benchmarks/slo_evaluate.py [--groups 10000]

One objective with the workbook's four pairs over 30 days. Times are CPU of this process,
median of the rounds. `burning` is the worst case: every group at the edge of its threshold
with little traffic, so that each needs the exact binomial bound.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from decimal import Decimal

import numpy as np

from slo.cells import Cells, fold
from slo.conditions import conditions
from slo.evaluate import evaluate, judge
from slo.indicators.goodput import Goodput
from slo.objective import Objective
from slo.ring import Ring
from telemetry.frame import Column, Frame, Numbers, Texts

MINUTE = 60_000_000
NOW = 29_000_000
OBJECTIVE = Objective(
    name="goodput",
    indicator=Goodput(ttft_us=2_000_000, tpot_us=100_000),
    target=Decimal("0.999"),
    group_by=("model", "tenant"),
)


def cpu_ms(work: Callable[[], object], rounds: int = 15) -> float:
    """Return the median CPU milliseconds of one call."""
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spent.append((time.process_time() - start) * 1e3)
    return statistics.median(spent)


def filled(groups: int, bad_of: Callable[[np.ndarray], np.ndarray], minutes: range) -> Ring:
    """Return a ring in which every group saw requests in the given minutes before now."""
    ring = Ring(windows_us=OBJECTIVE.windows_us, now_us=NOW * MINUTE, group_cap=groups)
    keys = [("llama", f"tenant-{number:05d}") for number in range(groups)]
    group = np.arange(groups)
    for age in minutes:
        total = np.full(groups, 60)
        ring.add(
            Cells.of(
                keys, group=group, bucket=np.full(groups, NOW - age), good=total - bad_of(group), total=total
            )
        )
    return ring


def requests(rows: int, groups: int) -> Frame:
    """Return as many ended requests, with the columns the objective reads."""
    chance = np.random.default_rng(1)
    known = np.ones(rows, dtype=np.bool_)

    def number(values: np.ndarray) -> Numbers:
        return Numbers(values.astype(np.int64), known)

    columns: dict[str, Column] = {
        "ended_at_us": number(NOW * MINUTE + chance.integers(0, MINUTE, rows)),
        "synthetic": number(np.zeros(rows)),
        "http_status": number(np.full(rows, 200)),
        "stream": number(np.ones(rows)),
        "ttft_us": number(chance.integers(0, 3_000_000, rows)),
        "e2e_us": number(chance.integers(3_000_000, 9_000_000, rows)),
        "output_tokens": number(chance.integers(1, 200, rows)),
        "status": Texts(np.zeros(rows, dtype=np.int32), ("ok",)),
        "vantage": Texts(np.zeros(rows, dtype=np.int32), ("edge",)),
        "model": Texts(np.zeros(rows, dtype=np.int32), ("llama",)),
        "tenant": Texts(chance.integers(0, groups, rows).astype(np.int32), tuple(map(str, range(groups)))),
    }
    return Frame("requests", rows, columns)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=10_000)
    groups = parser.parse_args().groups
    healthy = filled(groups, lambda group: (group % 500 == 0).astype(np.int64), range(120))
    burning = filled(groups, lambda group: 1 + group % 3, range(5))
    frame = requests(1_000_000, 200)
    clock = iter(range(NOW + 1, NOW + 1_000))
    results = {
        f"judge {groups} groups x {len(OBJECTIVE.windows_us)} windows, healthy": cpu_ms(
            lambda: judge(OBJECTIVE, healthy.counts())
        ),
        "judge, every group burning at low traffic": cpu_ms(lambda: judge(OBJECTIVE, burning.counts())),
        "conditions of every group, healthy (20,000 objects)": cpu_ms(
            lambda: conditions(judge(OBJECTIVE, healthy.counts()), healthy.first_bad_us), 5
        ),
        "verdicts of every group, as exact fractions": cpu_ms(
            lambda: evaluate(OBJECTIVE, healthy.counts()), 3
        ),
        "close one minute": cpu_ms(lambda: healthy.advance(next(clock) * MINUTE)),
        "fold 1,000,000 requests into 200 groups": cpu_ms(lambda: fold(frame, OBJECTIVE), 5),
    }
    for what, spent_ms in results.items():
        print(f"{spent_ms:10.2f} ms CPU  {what}")
    cell_bytes = healthy._counts.dtype.itemsize * 2 * healthy._counts.shape[1] + healthy._sums.itemsize * 16  # noqa: SLF001
    print(f"{cell_bytes / 1e3:10.1f} kB      state of one group when all 30 days are written")


if __name__ == "__main__":
    main()
