"""The counts of one objective: its ring, which of its cells must be written, what was early.

Guarantee: after any crash, loading the written cells and folding the journal again from the
cursor gives the same counts as never having stopped. A cell holds absolute values and `upto`,
the last journal entry they include, so an entry is added only to cells that do not hold it.
A request counted while in flight is remembered with the entry that told of it, until its end
has been counted for good.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from service.counting.checkpoints import Checkpoint
from service.counting.slo_counters import Grown
from slo.cells import Cells, Key, fold, merge, with_ids
from slo.corrections import Correction
from slo.evaluate import Judgement, judge_all
from slo.objective import Objective
from slo.overdue import overdue
from slo.ring import Page, Ring
from telemetry.frame import Frame, Ints
from telemetry.units import MICROS_PER_HOUR

StoredRows = Callable[[Objective, int, int], Frame]
"""Returns the stored rows that an objective counts, with event time in [from, to)."""
MINUTES_A_DAY: Final = 1_440
EARLY_MOST: Final = 20_000
"""Most requests remembered as counted while in flight, per objective; the oldest go first."""


@dataclass(frozen=True, slots=True)
class LoadedCells:
    """Cells of one objective version as they were written: row i holds entries up to `upto[i]`."""

    cells: Cells
    upto: Ints


class CellRows(Protocol):
    """What counting needs of the facts store."""

    def write(self, version: str, width_us: int, cells: Cells, upto: int, *, phase_us: int = 0) -> None:
        """Append cells with absolute values; the newest `upto` of a cell is the one that counts."""
        ...

    def read(
        self,
        version: str,
        width_us: int,
        from_bucket: int,
        to_bucket: int | None = None,
        *,
        phase_us: int = 0,
        since: int = -1,
    ) -> LoadedCells:
        """Return the cells of a version from a bucket on, before another one; None = to the last.

        Bucket n begins at n widths and `phase_us`, so that hours can begin where a period does.
        Only cells written with journal entry `since` or a later one.
        """
        ...


class ObjectiveCounts:
    """One objective version being counted. Not thread-safe: the fold owns it."""

    def __init__(self, objective: Objective, *, now_us: int, group_cap: int) -> None:
        self.objective = objective
        self.ring = Ring.of(objective, now_us=now_us, group_cap=group_cap)
        self.corrections: tuple[Correction, ...] | None = None
        """What is left out of every sum; None = nobody has said yet (`service.counting.correcting`)."""
        self.grown = Grown()
        self.early: dict[str, int] = {}
        self.outside = 0
        self._ended: set[str] = set()
        """Early requests that have ended: forgotten once the cursor is past their end."""
        self._touched: list[Cells] = []
        self._days: set[int] = set()
        """Days that changed since the last checkpoint."""
        self._upto: dict[tuple[Key, int], int] = {}
        """Cells that hold entries which the journal may tell again."""
        self._newest_upto = self._whole_upto = -1

    def load(
        self, stored: LoadedCells, early: Mapping[str, int], whole_upto: int = -1, *, cursor: int = -1
    ) -> None:
        """Take up the cells and early requests that an earlier process wrote; all at once or in parts.

        Journal entries up to `whole_upto` were counted from stored rows (`backfill`): none of
        them is counted again, whatever cells it touches. None up to `cursor` will be told again.
        """
        self.ring.settle(stored.cells)
        self._days.update(_days(stored.cells))
        keys = stored.cells.keys
        self.grown.know(keys)
        again = np.flatnonzero(stored.upto > max(whole_upto, cursor))
        cells = (column[again].tolist() for column in (stored.cells.group, stored.cells.bucket, stored.upto))
        self._upto |= {(keys[group], bucket): upto for group, bucket, upto in zip(*cells, strict=True)}
        self._whole_upto = whole_upto
        self._newest_upto = max(self._newest_upto, whole_upto, int(stored.upto.max(initial=-1)))
        self.early = dict(early)

    def restore(self, kept: Checkpoint) -> None:
        """Take up a checkpoint, before `load` tells what was written since. Raises what reading it raises."""
        self.ring.restore(kept.keys, kept.pages())
        self.grown.know(self.ring.keys)
        if self.ring.keys != kept.keys:
            self._days.update(kept.listed)  # each page tells of other groups from now on

    def changed(self) -> tuple[tuple[Key, ...], dict[int, Page]] | None:
        """Return the groups, and by day what changed since the last call; None while not all is written."""
        if self._touched:
            return None
        days, self._days = self._days, set()
        return self.ring.keys, {
            day: self.ring.page(day * MINUTES_A_DAY, (day + 1) * MINUTES_A_DAY) for day in sorted(days)
        }

    def change_again(self, days: Iterable[int]) -> None:
        """Take days back of which no checkpoint could be written."""
        self._days.update(days)

    def fold_in_flight(self, in_flight: Frame, entry: int) -> int:
        """Count what one entry shows to be overdue; return how many requests that was."""
        if entry <= self._whole_upto:
            return 0
        known = {name for name, told in self.early.items() if told != entry}
        late = overdue(in_flight, self.objective, known)
        for name in late.ids:
            self.early[name] = entry
        for name in list(self.early)[: max(0, len(self.early) - EARLY_MOST)]:
            del self.early[name]
        self._add(late.cells, entry)
        return len(late.ids)

    def fold_ended(self, facts: Frame, last: int) -> None:
        """Count ended requests, or other facts of the objective's table, of entries up to `last`.

        Entries that stored cells may already hold (`must_be_single`) come one at a time.
        """
        if last <= self._whole_upto:
            return
        if self.early:
            ids = facts.texts("request_id")
            ended = np.unique(ids.codes[with_ids(facts, self.early.keys())])
            self._ended.update(ids.words[code] for code in ended)
        self._add(fold(facts, self.objective, counted_early=self.early.keys()), last)

    def fold_missing(self, samples: Frame, entry: int) -> None:
        """Count samples that were expected and did not come until entry `entry`."""
        self._add(fold(samples, self.objective), entry)

    def forget_ended(self) -> None:
        """Remember early requests whose end was counted no longer; called behind a durable cursor."""
        for name in self._ended:
            self.early.pop(name, None)
        self._ended.clear()

    def _add(self, cells: Cells, entry: int) -> None:
        if len(cells.bucket) == 0:
            return
        fresh = self._fresh(self.ring.named(cells), entry)
        self.grown.add(fresh)
        added = self.ring.add(fresh)
        self._touched.append(added.stored)
        self._days.update(_days(added.stored))
        self.outside += added.outside

    def must_be_single(self, entry: int) -> bool:
        """Tell whether an entry may already be in a stored cell, so that it comes alone."""
        return entry <= self._newest_upto

    def take_touched(self) -> Cells:
        """Return the cells touched since the last call, absolute, each once; forget them."""
        touched, self._touched = self._touched, []
        return latest(touched)

    def put_back(self, cells: Cells) -> None:
        """Take back cells that could not be written, behind what was touched since."""
        self._touched.insert(0, cells)

    def correct(self, corrections: tuple[Correction, ...], older: Cells, until_us: int) -> None:
        """Count without what corrections leave out; `older`, `until_us`: see `Ring.rebase`."""
        self.corrections = corrections
        self.ring.correct(corrections)
        self.ring.rebase(older, until_us)

    def _fresh(self, cells: Cells, entry: int) -> Cells:
        if not self.must_be_single(entry):
            return cells
        rows = zip(cells.group, cells.bucket, strict=True)
        new = [self._upto.get((cells.keys[group], int(bucket)), -1) < entry for group, bucket in rows]
        return cells.take(np.array(new, dtype=np.bool_))


def _days(cells: Cells) -> list[int]:
    days: list[int] = np.unique(cells.bucket // MINUTES_A_DAY).tolist()
    return days


def judge_counts(counts: Sequence[ObjectiveCounts], now_us: int) -> list[Judgement]:
    """Return every group of each objective judged at `now_us`."""
    for each in counts:
        each.ring.advance(now_us)
    judgements = judge_all([(each.objective, each.ring.counts()) for each in counts])
    return [
        replace(judgement, corrections=each.corrections or ())
        for judgement, each in zip(judgements, counts, strict=True)
    ]


def latest(parts: Sequence[Cells]) -> Cells:
    """Return absolute cells of which later parts replace earlier ones."""
    parts = [part for part in parts if len(part.bucket)]
    if not parts:
        return Cells.empty()
    keys = list(dict.fromkeys(key for part in parts for key in part.keys))
    place = {key: at for at, key in enumerate(keys)}
    group = np.concatenate([np.array([place[k] for k in part.keys])[part.group] for part in parts])
    bucket, good, total = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("bucket", "good", "total")
    )
    _, newest = np.unique(np.stack([group, bucket], axis=1)[::-1], axis=0, return_index=True)
    rows = len(group) - 1 - newest
    return Cells.of(keys, group=group[rows], bucket=bucket[rows], good=good[rows], total=total[rows])


def backfill(objective: Objective, rows: StoredRows, from_us: int, to_us: int) -> Cells:
    """Return the counts of stored rows of [from_us, to_us) for an objective that is new.

    Asks for an hour at a time, so that memory is bounded by the busiest hour.
    """
    starts = range(from_us, to_us, MICROS_PER_HOUR)
    return merge(
        [fold(rows(objective, start, min(start + MICROS_PER_HOUR, to_us)), objective) for start in starts]
    )


def key_text(key: Key) -> str:
    """Return a group as the text that stores and addresses hold."""
    return json.dumps(list(key), ensure_ascii=False, separators=(",", ":"))


def key_of(text: str) -> Key:
    """Return the group that `key_text` wrote. Raises `ValueError` for anything else."""
    words = json.loads(text)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"group {text!r}: not a JSON list of texts")
    return tuple(words)
