"""When objectives would have alerted over the kept history: counts of stored facts, read stride by stride.

Where the very same objective version has been counted that far back, its count cells answer and
no fact is read. Nothing is written, and nothing that is judged now changes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Self

from service.clock import now_us
from service.counting.cell_store import CellStore
from service.store.facts import Facts
from slo.backtest import WouldBe, would_have_alerted
from slo.cells import Cells, fold, merge
from slo.corrections import Correction, Mask, corrected
from slo.durations import MICROS_PER_DAY, written
from slo.objective import Objective
from telemetry.frame import Frame
from telemetry.identity import Vantage
from telemetry.units import MICROS_PER_MINUTE

LONGEST_RANGE_US: Final = 62 * MICROS_PER_DAY
"""As far back as requests are kept."""
RECORD_COLUMNS: Final = ("vantage", "pool")
"""What tells the requests that count."""
_DATASETS: Final = "SELECT DISTINCT dataset FROM requests ORDER BY dataset"
_VANTAGES: Final = "SELECT DISTINCT vantage FROM requests WHERE dataset = {dataset:String}"


class CountedFrom(StrEnum):
    """What a backtest counted."""

    ROWS = "stored rows"
    CELLS = "count cells"


@dataclass(frozen=True, slots=True)
class History:
    """One dataset of a facts store. `of_record` keeps the rows that count, each request once.

    `corrections` says what is left out for an objective of a name, `whole` whether the count cells of
    a version have no hole: those of one that was withdrawn for a while do.
    """

    facts: Facts
    of_record: Callable[[Frame], Frame]
    dataset: str = ""
    corrections: Callable[[str], Sequence[Correction]] = lambda _objective: ()
    whole: Callable[[str], bool] = lambda _version: False

    @classmethod
    def imported(cls, facts: Facts, dataset: str) -> Self:
        """Return an import, of which one vantage counts: the edge where it was timed there. One query."""
        seen = set(facts.query(_VANTAGES, {"dataset": dataset})["vantage"].to_pylist())
        chosen = next((vantage for vantage in Vantage if vantage in seen), Vantage.EDGE)

        def of_record(rows: Frame) -> Frame:
            return rows.take(rows.texts("vantage").equals(chosen)) if rows.table == "requests" else rows

        return cls(facts, of_record, dataset, whole=lambda _version: dataset != "")

    def span(self, objective: Objective) -> tuple[int, int] | None:
        """Return the event times of the first and last kept fact; None = there is none. One query."""
        return self.facts.span(objective.indicator.table, self.dataset)

    def rows(self, objective: Objective, from_us: int, to_us: int) -> Frame:
        """Return the facts of [from_us, to_us) that count, with no column that judging does not read.

        Without the ids of requests they take a tenth of the memory. One query.
        """
        table = objective.indicator.table
        columns = {*objective.columns, *(RECORD_COLUMNS if table == "requests" else ())}
        return self.read(table, columns, from_us, to_us)

    def strides(self, table: str, from_us: int, to_us: int) -> list[tuple[int, int]]:
        """Return [from_us, to_us) in spans that can be read one after the other. One query."""
        return self.facts.strides(table, from_us=from_us, to_us=to_us, dataset=self.dataset)

    def read(self, table: str, columns: Collection[str], from_us: int, to_us: int) -> Frame:
        """Return these columns of a table's rows of [from_us, to_us) that count. One query."""
        found = self.facts.frame(table, from_us=from_us, to_us=to_us, dataset=self.dataset, columns=columns)
        return self.of_record(found)

    def cells(self, objective: Objective, from_us: int) -> Cells:
        """Return what was counted of this very version from an instant on, if all was. One query."""
        if not self.whole(objective.version):
            return Cells.empty()
        store = CellStore(self.facts.cells, clock=now_us, dataset=self.dataset)
        return store.read(objective.version, MICROS_PER_MINUTE, from_us // MICROS_PER_MINUTE).cells


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the time has been read for an objective or dataset, 0..1."""

    subject: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """One objective over one dataset. `good` of `total` in [from_us, to_us), UTC microseconds.

    `reach_us` is the first fact that is kept: when it is later than what was asked for, or less
    than the longest window before it, the answer begins with windows that are not full. None =
    nothing is kept.
    """

    objective: Objective
    dataset: str
    from_us: int
    to_us: int
    reach_us: int | None
    counted_from: CountedFrom
    good: int = 0
    total: int = 0
    alerts: tuple[WouldBe, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as the API answers."""
        return {
            "objective": self.objective.name,
            "promise": self.objective.sentence(),
            "version": self.objective.version,
            "dataset": self.dataset,
            "from_us": self.from_us,
            "to_us": self.to_us,
            "reach_us": self.reach_us,
            "counted_from": self.counted_from.value,
            "good": self.good,
            "total": self.total,
            "alerts": [_alert(each, self.objective) for each in self.alerts],
        }


def _alert(would_be: WouldBe, objective: Objective) -> dict[str, Any]:
    return {
        "severity": would_be.severity.value,
        "group": dict(zip(objective.group_by, would_be.group, strict=False)),
        "from_us": would_be.from_us,
        "to_us": would_be.to_us,
        "long": written(would_be.pair.long_us),
        "short": written(would_be.pair.short_us),
        "burn": float(would_be.burn),
        "worst": float(would_be.worst),
    }


def histories(facts: Facts) -> list[History]:
    """Return every dataset of a store that holds requests, the live one first. A query each."""
    names = facts.query(_DATASETS)["dataset"].to_pylist()
    return [History.imported(facts, name) for name in names]


def backtest(
    history: History, objectives: Sequence[Objective], range_us: int, *, now_us: int | None = None
) -> Iterator[Progress | Backtest]:
    """Yield how far it is, and each objective's answer once it is known.

    The range ends at `now_us`; None = with the last fact. Memory: a stride, or the busiest minute.
    Raises `StoreError`.
    """
    for objective in objectives:
        yield from _one(history, objective, range_us, now_us)


def _one(
    history: History, objective: Objective, range_us: int, now_us: int | None
) -> Iterator[Progress | Backtest]:
    span = history.span(objective)
    to_us = _minute_after(now_us or (span[1] + 1 if span else 0))
    answer = Backtest(
        objective=objective,
        dataset=history.dataset,
        from_us=max(to_us - range_us, _minute_of(span[0]) if span else 0),
        to_us=to_us,
        reach_us=span[0] if span else None,
        counted_from=CountedFrom.ROWS,
    )
    if span is None or answer.from_us >= to_us:
        yield answer
        return
    start_us = max(answer.from_us - max(objective.paired_us, default=0), _minute_of(span[0]))
    cells = history.cells(objective, start_us)
    if len(cells.bucket) and int(cells.bucket.min()) * MICROS_PER_MINUTE <= start_us:
        answer = replace(answer, counted_from=CountedFrom.CELLS)
    else:
        cells = yield from _counted(history, objective, start_us, to_us)
    mask = Mask.of(history.corrections(objective.name), MICROS_PER_MINUTE)
    yield _told(answer, corrected(cells, mask))


def _counted(
    history: History, objective: Objective, from_us: int, to_us: int
) -> Generator[Progress, None, Cells]:
    """Return the counts of stored rows, a stride at a time."""
    parts = []
    for at_us, until_us in history.strides(objective.indicator.table, from_us, to_us):
        parts.append(fold(history.rows(objective, at_us, until_us), objective))
        yield Progress(objective.name, (until_us - from_us) / (to_us - from_us))
    return merge(parts)


def _told(answer: Backtest, cells: Cells) -> Backtest:
    first, end = answer.from_us // MICROS_PER_MINUTE, answer.to_us // MICROS_PER_MINUTE
    good, total = cells.take((cells.bucket >= first) & (cells.bucket < end)).sums()
    alerts = would_have_alerted(answer.objective, cells, from_us=answer.from_us, to_us=answer.to_us)
    return replace(answer, good=good, total=total, alerts=tuple(alerts))


def _minute_of(at_us: int) -> int:
    return at_us // MICROS_PER_MINUTE * MICROS_PER_MINUTE


def _minute_after(at_us: int) -> int:
    return -(-at_us // MICROS_PER_MINUTE) * MICROS_PER_MINUTE
