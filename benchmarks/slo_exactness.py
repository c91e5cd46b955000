"""Windows and budgets against a recount: late, repeated and unordered facts, corrections, crashes.

Every stream is one objective over weeks of virtual time: batches of requests up to 24 hours late
go through the journal, some out of order, some twice; corrections are added, ended and withdrawn;
the service's counting is killed and taken up again, from a checkpoint where one was kept; minutes
expire and hours take over. At some
instants all windows, the budget and the burn rates of every group are compared with a recount of
every single request. Half the streams count requests over 30 rolling days; the others count slices
of time, the mean of slices, calendar weeks, months and quarters in several zones.

    python benchmarks/slo_exactness.py [--streams 1000] [--first 0] [--out FILE]

Prints one JSON object; exit status 1 when any number differs.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
from parts.budgets import Fact, budget_left, units
from parts.telling import tell

from journal import Journal, Limits, Sealed
from service.counting.checkpoints import Checkpoints
from service.counting.correcting import Correcting, intervals
from service.counting.counts import LoadedCells, judge_counts
from service.counting.fold import READER, Fold
from service.counting.rollup import RollUp
from service.counting.sightings import Sightings
from service.counting.taking_up import Counting
from service.live import LiveWindow
from service.own_metrics import Tally
from service.store.corrections import StoredCorrection
from service.store.errors import StoreUnavailable
from slo.calendars import Calendar, Unit
from slo.cells import Cells
from slo.corrections import Excluded
from slo.evaluate import Verdict
from slo.indicators.ttft import Ttft
from slo.objective import Objective
from slo.slices import RatioTimeslices, Timeslices
from telemetry.requests import RequestRecord, Status
from telemetry.wire import BatchHeader, encode

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MINUTES_KEPT_US = 35 * DAY
PLAIN = Objective(
    name="ttft",
    indicator=Ttft(limit_us=SECOND),
    target=Decimal("0.99"),
    group_by=("tenant",),
)


def _calendar(unit: Unit, start: str, zone: str) -> Calendar:
    return Calendar(unit=unit, start=datetime.fromisoformat(start), zone=zone)


OTHERS = (
    replace(PLAIN, budgeting=Timeslices(5 * MINUTE, Decimal("0.75"))),
    replace(PLAIN, budgeting=RatioTimeslices(MINUTE)),
    replace(PLAIN, window=_calendar(Unit.MONTH, "2024-01-31", "Europe/Berlin")),
    replace(PLAIN, window=_calendar(Unit.WEEK, "2024-01-01 02:30", "America/New_York")),
    replace(
        PLAIN,
        window=_calendar(Unit.WEEK, "2024-01-01", "Australia/Lord_Howe"),
        budgeting=Timeslices(5 * MINUTE, Decimal("0.5")),
    ),
    replace(
        PLAIN,
        window=_calendar(Unit.QUARTER, "2024-01-01", "Asia/Kolkata"),
        budgeting=RatioTimeslices(15 * MINUTE),
        policy="tickets",
    ),
    replace(PLAIN, window=_calendar(Unit.QUARTER, "2024-01-01", "Asia/Kolkata")),
)
WAITS = (SECOND, 20 * SECOND, MINUTE, 4 * MINUTE, 29 * MINUTE, 61 * MINUTE, 23 * HOUR, 5 * DAY, 10 * DAY)


class Notes(dict[str, str]):
    """The state store's notes, in memory."""

    def set(self, values: dict[str, str]) -> None:
        self.update(values)


class Memory:
    """Stored cells, in memory: the newest `upto` of each holds; minutes expire."""

    def __init__(self) -> None:
        self.dies = False
        self._rows: dict[int, dict[tuple[tuple[str, ...], int], tuple[int, int, int]]] = {
            MINUTE: {},
            HOUR: {},
        }

    def write(self, _version: str, width_us: int, cells: Cells, upto: int, *, phase_us: int = 0) -> None:
        rows = zip(
            cells.group.tolist(),
            cells.bucket.tolist(),
            cells.good.tolist(),
            cells.total.tolist(),
            strict=True,
        )
        for group, bucket, good, total in rows:
            place = (cells.keys[group], bucket * width_us + phase_us)
            if upto >= self._rows[width_us].get(place, (0, 0, -1))[2]:
                self._rows[width_us][place] = (good, total, upto)
        if self.dies:
            raise StoreUnavailable("the process is killed behind the write")

    def read(
        self,
        _version: str,
        width_us: int,
        from_bucket: int,
        to_bucket: int | None = None,
        *,
        phase_us: int = 0,
        since: int = -1,
    ) -> LoadedCells:
        chosen = sorted(
            (key, (at_us - phase_us) // width_us, *counts)
            for (key, at_us), counts in self._rows[width_us].items()
            if (at_us - phase_us) % width_us == 0
            and from_bucket <= (at_us - phase_us) // width_us
            and counts[2] >= since
            and (to_bucket is None or (at_us - phase_us) // width_us < to_bucket)
        )
        keys = [row[0] for row in chosen]
        bucket, good, total, upto = np.array([row[1:] for row in chosen], dtype=np.int64).reshape(-1, 4).T
        return LoadedCells(
            Cells.of(keys, group=np.arange(len(keys)), bucket=bucket, good=good, total=total), upto
        )

    def expire(self, now_us: int) -> None:
        """Forget minutes as the facts store does."""
        self._rows[MINUTE] = {
            place: counts
            for place, counts in self._rows[MINUTE].items()
            if place[1] > now_us - MINUTES_KEPT_US
        }


class Stream:
    """One objective's life, and what ought to have come of it."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.chance = random.Random(seed)
        self.objective = PLAIN if seed % 2 == 0 else OTHERS[seed // 2 % len(OTHERS)]
        self.now_us = int(datetime.fromisoformat("2025-02-20 00:00+00:00").timestamp()) * SECOND
        self.now_us += self.chance.randrange(60 * DAY)
        self.journal = Journal.open(folder / "journal.db", Limits(ballast_bytes=0), readers=(READER,))
        self.notes, self.cells = Notes(), Memory()
        self.checkpoints = Checkpoints(folder / "counts")
        self.stored: list[StoredCorrection] = []
        self.facts: list[Fact] = []
        self.sent: list[Sealed] = []
        self.held: list[Sealed] = []
        self.happened: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.take_up()

    def listed(self) -> list[StoredCorrection]:
        """Return the corrections, as the state store does."""
        return list(self.stored)

    @property
    def corrections(self) -> dict[str, tuple[()]]:
        """Return what files ask for: nothing."""
        return {}

    def take_up(self) -> None:
        """Begin counting as a process that starts does."""
        counting = Counting(self.notes, self.cells, 10, self.checkpoints)
        sightings = Sightings(self.notes, self.journal.cursor(READER))
        counts = counting.taken_up([self.objective], sightings, self.now_us)
        counting.note(counts, self.journal.cursor(READER))
        self.fold = Fold(
            self.journal,
            LiveWindow(),
            counts,
            cells=self.cells,
            sightings=sightings,
            tally=Tally(),
            clock=lambda: self.now_us,
            vantages={},
            checkpoints=self.checkpoints,
        )
        self.correcting = Correcting(self, self, self.fold, self.cells, lambda: self.now_us)
        self.rolling = RollUp(self.cells, self.notes)

    def run(self, steps: int) -> None:
        """Live through some steps."""
        for _ in range(steps):
            self.send()
            if self.chance.random() < 0.4:
                self.correct()
            if self.chance.random() < 0.25:
                self.crash()
            self.fold_all()
            if self.chance.random() < 0.5:
                self.fold.flush()
                if self.chance.random() < 0.5:
                    self.fold.checkpoint()
                    self.happened["checkpoints"] += 1
                self.rolling.step([self.objective], upto=self.journal.cursor(READER), now_us=self.now_us)
                self.cells.expire(self.now_us)
            self.compare()
            self.wait()
        self.journal.close()

    def crash(self) -> None:
        """Die before, or just after cells were written and before the journal knows of it."""
        self.happened["crashes"] += 1
        if self.chance.random() < 0.5:
            self.cells.dies = True
            with suppress(StoreUnavailable):
                self.fold_all()
                self.fold.flush()
            self.cells.dies = False
        self.take_up()

    def wait(self) -> None:
        """Let time pass: what is counted is written before a long time does, as it is every 5 s."""
        pause_us = self.chance.choice(WAITS)
        if pause_us > HOUR:
            self.fold.flush()
            self.rolling.step([self.objective], upto=self.journal.cursor(READER), now_us=self.now_us)
        self.now_us += pause_us

    def send(self) -> None:
        """Journal a batch now, later, or twice; what is held back comes at most 24 h late in all."""
        requests = [self.request(number) for number in range(self.chance.randrange(1, 25))]
        batch = self.sealed(requests)
        self.facts += [
            Fact(each.tenant or "", each.ended_at_us, (each.ttft_us or 0) <= SECOND) for each in requests
        ]
        self.sent.append(batch)
        queue = [batch]
        if self.chance.random() < 0.3:
            self.happened["repeated"] += 1
            queue.append(self.chance.choice(self.sent))
        if self.chance.random() < 0.3:
            self.happened["out of order"] += 1
            more = self.request(0, late_us=0)
            self.facts.append(Fact(more.tenant or "", more.ended_at_us, (more.ttft_us or 0) <= SECOND))
            queue.insert(0, self.sealed([more]))
            self.sent.append(queue[0])
        for each in queue:
            self.journal.append(each).result()

    def request(self, number: int, late_us: int | None = None) -> RequestRecord:
        """Return a request that ended up to 24 hours ago."""
        if late_us is None:
            late_us = self.chance.choice((0, 0, self.chance.randrange(HOUR), self.chance.randrange(DAY)))
            self.happened["late facts"] += late_us > MINUTE
        ended_us = self.now_us - late_us
        return RequestRecord(
            request_id=f"{len(self.facts)}-{number}",
            tenant=self.chance.choice("xyz"),
            model="m",
            status=Status.OK,
            started_at_us=ended_us - 3 * SECOND,
            ended_at_us=ended_us,
            e2e_us=3 * SECOND,
            ttft_us=self.chance.choice((SECOND, SECOND, SECOND + 1)),
            output_tokens=5,
        )

    def sealed(self, requests: list[RequestRecord]) -> Sealed:
        """Return requests as an agent seals them."""
        seq = len(self.sent) + 1
        header = BatchHeader(boot="b", seq=seq, sealed_at_us=self.now_us, host="h")
        body = encode(header, {"requests": requests})
        return Sealed(agent="a", boot="b", seq=seq, received_at_us=self.now_us, body=body)

    def correct(self) -> None:
        """Add a correction, end one, or withdraw one; of a quarter on whole hours of its own.

        Kolkata's quarters, and so their hours, begin half an hour after UTC's.
        """
        if self.stored and self.chance.random() < 0.4:
            at = self.chance.randrange(len(self.stored))
            until_us = self.chance.choice((0, self.now_us // HOUR * HOUR - 30 * MINUTE))
            self.happened["corrections ended"] += 1
            self.stored[at] = replace(self.stored[at], until_us=until_us, ended_at_us=self.now_us)
            return
        self.happened["corrections"] += 1
        step_us = HOUR if self.objective.period_us > 35 * DAY else MINUTE
        ago_us = self.chance.choice((HOUR, DAY, 10 * DAY, 40 * DAY))
        start_us = (self.now_us - self.chance.randrange(ago_us)) // step_us * step_us
        self.stored.append(
            StoredCorrection(
                id=str(len(self.stored)),
                objectives=self.chance.choice(((), ("ttft",), ("another",))),
                excluded=self.chance.choice(list(Excluded)) if self.exact_bad else Excluded.ALL,
                start=str(datetime.fromtimestamp(start_us / SECOND, tz=_UTC).replace(tzinfo=None)),
                zone="Asia/Kolkata" if step_us == HOUR else "UTC",
                duration_us=self.chance.randrange(1, 200) * step_us,
                rule=self.chance.choice(("", "FREQ=DAILY;COUNT=9", "FREQ=WEEKLY;BYDAY=MO,SA")),
                why="",
                created_by="chance",
                created_at_us=self.now_us,
            )
        )

    @property
    def exact_bad(self) -> bool:
        """Whether bad requests can be left out of all its past: not of the slices of old hours."""
        return self.objective.budgeting.slice_us is None or self.objective.period_us <= 35 * DAY

    def fold_all(self) -> None:
        """Count all that is in the journal."""
        while self.fold.step():
            pass

    def compare(self) -> None:
        """Compare every number of every group with a recount."""
        self.correcting.step()
        (judgement,) = judge_counts(self.fold.counts, self.now_us)
        for group, key in enumerate(judgement.counts.keys):
            self.compare_group(key[0], judgement.verdict(group), judgement.counts.ahead)
        self.happened["comparisons"] += 1

    def compare_group(self, tenant: str, verdict: Verdict, ahead: int) -> None:
        """Compare one group's windows, burn rates and budget."""
        budgeting, target = self.objective.budgeting, Fraction(self.objective.target)
        end_us = self.now_us // (budgeting.slice_us or MINUTE) * (budgeting.slice_us or MINUTE)
        end_us += 0 if budgeting.slice_us else MINUTE
        period = self.objective.window.period(self.now_us)
        corrections = [
            correction
            for each in self.stored
            if not each.objectives or "ttft" in each.objectives
            for correction in intervals(each, self.now_us - 200 * DAY, self.now_us + DAY)
        ]
        for window in verdict.windows:
            is_period = window is verdict.windows[-1] and isinstance(self.objective.window, Calendar)
            from_us = period.from_us if is_period else end_us - window.window_us
            good, total = units(self.facts, corrections, budgeting, from_us, end_us).get(tenant, (0, 0))
            burn = Fraction(total - good, total) / (1 - target) if total else None
            told, right = (window.good, window.total, window.burn), (good, total, burn)
            if told != right:
                self.wrong.append(f"{tenant}: window of {window.window_us} us says {told}, recounted {right}")
            self.happened["windows compared"] += 1
        left = budget_left(total - good, total, ahead, target)
        if verdict.budget_remaining != left:
            self.wrong.append(f"{tenant}: budget says {verdict.budget_remaining}, recounted {left}")
        self.happened["budgets compared"] += 1


_UTC = datetime.fromisoformat("2025-01-01T00:00+00:00").tzinfo


def lived(seed: int, steps: int = 14) -> Stream:
    """Return the stream of a seed after its life."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        stream = Stream(seed, Path(folder))
        stream.run(steps)
        return stream


def main() -> int:
    """Live through the streams and tell what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    began, happened, wrong = time.monotonic(), Counter[str](), []
    for seed in range(asked.first, asked.first + asked.streams):
        stream = lived(seed)
        happened.update(stream.happened)
        wrong += [f"stream {seed}: {each}" for each in stream.wrong]
    for each in wrong[:20]:
        print(each, file=sys.stderr)
    figures = {"streams": asked.streams, **happened, "mismatches": len(wrong)}
    tell({**figures, "seconds": round(time.monotonic() - began)}, asked.out)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
