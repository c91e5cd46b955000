"""What objectives cost: judging ten thousand, their memory, a restart, folding, and asking the past.

    python benchmarks/slo_engine.py [--objectives 10000] [--rows 10000000] [--prometheus 200]
                                    [--out FILE]

Objectives are groups of one definition, with the workbook's four pairs over 30 days in minutes:
each is judged, counted and alerted on by itself. Judging is CPU of this process, median of the
rounds: of healthy groups, without and with what alerts are told of them; of groups that all stand
at their threshold with little traffic, so that each needs the exact binomial bound; and of 100
definitions of 100 groups with five different targets. Beside it stands Debian's Prometheus, 2
series an objective every minute for 30 days, an error ratio for each window. A restart takes up 30
days of minutes in which no objective was ever idle. The past: 30 days of raw rows in chDB, asked by
a threshold that was never in force.
(Not called `slo.py`: beside the other scripts that would hide the package.)
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path

import numpy as np
from parts.recording_rules import available, measured
from parts.telling import tell

from service.counting.cell_store import CellStore
from service.counting.checkpoints import Checkpoints
from service.counting.counts import judge_counts
from service.counting.sightings import Sightings
from service.counting.taking_up import NOTE, Counting
from service.past.backtesting import Backtest, History, backtest
from service.store.clickhouse import Warehouse
from service.store.facts import Facts
from service.store.migrate import upgrade_facts
from slo.cells import Cells, fold
from slo.conditions import conditions
from slo.durations import written
from slo.evaluate import judge, judge_all
from slo.indicators.goodput import Goodput
from slo.indicators.ttft import Ttft
from slo.objective import Objective
from slo.ring import Page, Ring
from telemetry.condition import Condition
from telemetry.frame import Column, Frame, Numbers, Texts

MINUTE = 60_000_000
DAY = 1_440 * MINUTE
NOW = int(time.time() * 1e6) // DAY * DAY // MINUTE
OBJECTIVE = Objective(
    name="goodput",
    indicator=Goodput(ttft_us=2_000_000, tpot_us=100_000),
    target=Decimal("0.999"),
    group_by=("model", "tenant"),
)
SINCE = 15
"""Minutes between two checkpoints."""
TARGETS = tuple(map(Decimal, ("0.95", "0.99", "0.995", "0.999", "0.9999")))
FULL_GROUPS = 250
_CELLS = """
INSERT INTO count_cells SELECT {{version:String}} AS objective_version,
  concat('["llama","tenant-', leftPad(toString(number % {groups}), 5, '0'), '"]') AS group_key,
  ({now} - intDiv(number, {groups})) * 60000000 AS bucket_us, 60000000 AS bucket_width_us,
  79 AS good, 80 AS total, 8 AS upto, {now} * 60000000 AS written_at_us, '' AS dataset
FROM numbers({cells})"""
_ROWS = """
INSERT INTO requests (request_id, tenant, model, vantage, synthetic, status, http_status, stream,
  started_at_us, ended_at_us, e2e_us, ttft_us, output_tokens, agent, boot, seq, block, received_at_us,
  origin, dataset)
SELECT toString(number), concat('tenant-', toString(number % 50)), concat('model-', toString(number % 4)),
  'edge', 0, 'ok', 200, 1, at - 4000000, at, 4000000, intHash32(number) % 2500000, 100, 'a', 'b', 1, 1, at,
  'live', ''
FROM (SELECT number, toInt64({now}) * 60000000 - {number} * {apart} AS at FROM numbers({rows}))"""


class Notes(dict[str, str]):
    """The state store's notes, in memory."""

    def set(self, values: dict[str, str]) -> None:
        self.update(values)


def cpu_ms(work: Callable[[], object], rounds: int = 15) -> float:
    """Return the median CPU milliseconds of one call."""
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        spent.append((time.process_time() - start) * 1e3)
    return round(statistics.median(spent), 3)


def filled(groups: int, bad_of: Callable[[np.ndarray], np.ndarray], minutes: range) -> Ring:
    """Return a ring in which every group saw requests in the given minutes before now."""
    ring = Ring.of(OBJECTIVE, now_us=NOW * MINUTE, group_cap=groups)
    keys = [("llama", f"tenant-{number:05d}") for number in range(groups)]
    group, total = np.arange(groups), np.full(groups, 60)
    for age in minutes:
        bucket = np.full(groups, NOW - age)
        ring.add(Cells.of(keys, group=group, bucket=bucket, good=total - bad_of(group), total=total))
    return ring


def judging(objectives: int) -> dict[str, float]:
    """Return the CPU milliseconds of judging all of them, and of closing a minute."""
    healthy = filled(objectives, lambda group: (group % 500 == 0).astype(np.int64), range(120))
    chance = np.random.default_rng(1)
    burning = filled(objectives, lambda group: chance.integers(1, 4, len(group)), range(5))
    defined = [replace(OBJECTIVE, name=f"goodput-{at}", target=TARGETS[at % 5]) for at in range(100)]
    many = [filled(objectives // 100, lambda group: group * 0, range(120)) for _ in defined]
    clock = iter(range(NOW + 1, NOW + 1_000))
    return {
        "healthy": cpu_ms(lambda: judge(OBJECTIVE, healthy.counts())),
        "healthy, and what alerts are told": cpu_ms(lambda: told(healthy)),
        "all at their threshold": cpu_ms(lambda: judge(OBJECTIVE, burning.counts())),
        "as 100 definitions": cpu_ms(
            lambda: judge_all([(each, ring.counts()) for each, ring in zip(defined, many, strict=True)])
        ),
        "closing a minute": cpu_ms(lambda: healthy.advance(next(clock) * MINUTE)),
    }


def told(ring: Ring) -> list[Condition]:
    """Return what alerts are told of all groups, while none stands."""
    return conditions(judge(OBJECTIVE, ring.counts()), ring.first_bad_us, standing=())


def state_kb() -> float:
    """Return the kB of memory that a group takes when every minute of 30 days is written."""
    before, ring = resident(), Ring.of(OBJECTIVE, now_us=NOW * MINUTE, group_cap=FULL_GROUPS)
    keys = [("llama", f"tenant-{number:05d}") for number in range(FULL_GROUPS)]
    group, minutes = (each.ravel() for each in np.indices((FULL_GROUPS, 60)))
    total = np.full(len(group), 60)
    for start in range(NOW - 30 * 1_440 + 1, NOW, 60):
        bucket = start + minutes
        ring.add(Cells.of(keys, group=group, bucket=bucket, good=total - 1, total=total))
    assert (ring.counts().total[-1] == 30 * 1_440 * 60).all()
    return round((resident() - before) / FULL_GROUPS / 1e3, 1)


def resident() -> int:
    """Return the bytes of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096


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


def restart(facts: Facts, warehouse: Warehouse, objectives: int, folder: Path) -> dict[str, float]:
    """Return the seconds from a stopped service's files to the first judgement of all objectives.

    None of them was idle in any minute of 30 days. The last checkpoint is as old as one gets, so
    that what was counted since is read from the stored cells.
    """
    checkpoints, upto = Checkpoints(folder), 7
    keys = [("llama", f"tenant-{number:05d}") for number in range(objectives)]
    chance = np.random.default_rng(1)
    for day in range((NOW - 30 * 1_440) // 1_440, NOW // 1_440 + 1):
        total = chance.poisson(60, (1_440, objectives)).astype(np.uint16)
        bad = total // 50 * (chance.random((1_440, objectives), dtype=np.float32) < 0.1)
        page = Page(day * 1_440, np.stack((total - bad, total)).astype(np.uint16))
        at_us = (NOW - SINCE) * MINUTE
        checkpoints.keep(OBJECTIVE.version, keys, {day: page}, upto=upto, at_us=at_us, oldest=0)
    cells = objectives * SINCE
    statement = _CELLS.format(groups=objectives, now=NOW, cells=cells)
    warehouse.command(statement, {"version": OBJECTIVE.version})
    notes = Notes({NOTE: json.dumps({OBJECTIVE.version: 1})})
    store = CellStore(facts.cells, clock=lambda: NOW * MINUTE)
    began = time.monotonic()
    counting = Counting(notes, store, objectives, checkpoints)
    counts = counting.taken_up([OBJECTIVE], Sightings(notes, 8), NOW * MINUTE)
    (judgement,) = judge_counts(counts, NOW * MINUTE)
    spent = time.monotonic() - began
    assert (judgement.counts.total[-1] > 29 * 1_440 * 59).all()
    kept = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "cells in the checkpoint": objectives * 30 * 1_440,
        "megabytes of it": round(kept / 1e6),
        "cells written since": cells,
        "seconds": round(spent, 2),
    }


def changed_threshold(facts: Facts, warehouse: Warehouse, rows: int) -> dict[str, object]:
    """Return how long a new threshold takes to be answered over 30 days of raw rows."""
    apart = 30 * DAY // rows
    warehouse.command(_ROWS.format(now=NOW, number="toInt64(number + 1)", apart=apart, rows=rows), {})
    base = replace(OBJECTIVE, name="ttft", group_by=("model",))
    answers = {}
    for limit_us in (2_000_000, 2_490_000):
        objective = replace(base, indicator=Ttft(limit_us))
        began = time.monotonic()
        asked = backtest(History(facts, lambda found: found), [objective], 30 * DAY, now_us=NOW * MINUTE)
        *_, answer = asked
        assert isinstance(answer, Backtest)
        assert answer.total == rows
        answers[f"TTFT within {written(limit_us)}"] = {
            "seconds": round(time.monotonic() - began, 1),
            "good": answer.good,
            "alerts": len(answer.alerts),
        }
    return {"rows": rows, **answers}


def beside_prometheus(objectives: int, ours_ms: float) -> dict[str, object]:
    """Return what an objective costs Prometheus, beside what it costs us."""
    windows = [written(window_us) for window_us in OBJECTIVE.windows_us]
    with tempfile.TemporaryDirectory(prefix="slo-prometheus-") as folder:
        theirs = measured(Path(folder), objectives, windows)
    times = round(theirs.ms_an_objective / ours_ms)
    return {
        "Prometheus": asdict(theirs),
        "ms an objective, ours": round(ours_ms, 6),
        "times Prometheus": times,
    }


def main() -> None:
    """Measure, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objectives", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--prometheus", type=int, default=200)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    figures: dict[str, object] = {"objectives": given.objectives, "windows": len(OBJECTIVE.windows_us)}
    figures["state of one objective, kB"] = state_kb()
    figures["judging all, CPU ms"] = judged = judging(given.objectives)
    frame = requests(1_000_000, 200)
    figures["folding a million requests, CPU ms"] = cpu_ms(lambda: fold(frame, OBJECTIVE), 5)
    if given.prometheus and available():  # before chDB, which takes the place of temporary files
        figures |= beside_prometheus(given.prometheus, judged["healthy"] / given.objectives)
    with tempfile.TemporaryDirectory(prefix="slo-facts-") as folder:
        url = f"clickhousedb:///?interface=chdb&path={folder}/facts"
        upgrade_facts(url)
        facts, warehouse = Facts.open(url), Warehouse(url)
        counts = Path(folder) / "counts"
        figures["restart from a checkpoint"] = restart(facts, warehouse, given.objectives, counts)
        figures["a changed threshold over 30 days"] = changed_threshold(facts, warehouse, given.rows)
        warehouse.close()
        facts.close()
    tell(figures, given.out)


if __name__ == "__main__":
    main()
