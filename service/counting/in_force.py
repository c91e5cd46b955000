"""The objectives in force, and how they change while the service runs.

What files say and what the API was given is compared with what is in force. What leaves, and
what changed in its words alone, changes at once. What is new or promises something else is
counted from stored facts first, in the background; until then its earlier version is in force.

Guarantee: every fact is counted once by every version, whatever is changed when, and a kill at
any instant loses nothing: a version counts as counted only from the moment on at which the fold
has written it, and is otherwise counted anew by the next start.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from service.counting.columns import columns_of
from service.counting.counts import ObjectiveCounts
from service.counting.fold import Change, Fold
from service.counting.recount import Progress, Recount, Stretch
from service.counting.rollup import RollUp
from service.counting.taking_up import Counting, Span
from service.objectives.chosen import Chosen, Origin, Written, chosen, written_in
from service.objectives.mistakes import Mistake, ObjectiveFileError
from service.objectives.watched import Watched
from service.store.errors import StoreUnavailable
from service.store.facts import Facts
from service.store.objectives import ObjectiveDocument, StoredObjective
from slo.calendars import Calendar
from slo.objective import Objective
from slo.ring import AHEAD_US
from telemetry.frame import Frame
from telemetry.units import MICROS_PER_SECOND

LOOK_US: Final = MICROS_PER_SECOND
"""Files are looked at no more often; what changed is read when it stood still for so long."""
TAKEN_SECONDS: Final = 30.0
"""How long the fold may take to begin with other objectives."""
_LOG = logging.getLogger(__name__)


class Documents(Protocol):
    """What is needed of the store of documents that the API was given."""

    def listed(self) -> list[ObjectiveDocument]:
        """Return every document, by name."""
        ...


class Versions(Protocol):
    """What is needed of the store of versions."""

    def replace(self, current: Sequence[StoredObjective], *, now_us: int) -> None:
        """Make `current` what holds from now on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """Where objectives come from, and where it is kept since when each version holds."""

    watched: Watched
    documents: Documents
    versions: Versions


@dataclass(frozen=True, slots=True)
class Counted:
    """What counts: the fold, its durable side, and stored facts for what is new."""

    fold: Fold
    counting: Counting
    rolling: RollUp
    facts: Facts
    stored_upto: Callable[[], int]
    """The journal entry up to which everything is stored."""


class InForce:
    """Keeps what is in force as it is asked for. `step` belongs to one thread, the rest to any."""

    def __init__(self, origins: Origins, counted: Counted, *, now: Chosen, clock: Callable[[], int]) -> None:
        """Begin with `now` in force."""
        self._origins, self._counted, self._clock = origins, counted, clock
        self.chosen = self._wanted = now
        self._recount: Recount | None = None
        self._looked_us = clock()
        self._asking = threading.Lock()

    @property
    def asked(self) -> Chosen:
        """What is asked for: in force already, or once it is counted."""
        return self._wanted

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """What is wrong in the files; what they said last without a mistake is in force."""
        return self._origins.watched.mistakes

    @property
    def progress(self) -> Progress | None:
        """How far the objectives are counted that will come into force; None = all are in force."""
        recount = self._recount
        return None if recount is None else recount.progress

    def ask(self) -> None:
        """Ask anew what is wanted: the API was given something, or a file has changed. One query."""
        with self._asking:
            self._wanted = wanted(self._origins)

    def step(self) -> bool:
        """Come one step nearer to what is wanted; true = there is more to do at once."""
        self._look()
        asked = self._wanted
        new = self._uncounted(asked)
        if self._recount is not None and self._recount.objectives != new:
            self._give_up()  # something else is wanted by now
        if asked == self.chosen:
            return False
        if self._recount is None:
            self._change(self._without(asked, new))
            if not new:
                return False
            self._recount = self._begun(new)
        return self._recount.step() or self._finish(self._recount, asked)

    def _look(self) -> None:
        """Look at the files, and ask anew where what they say has changed."""
        now_us = self._clock()
        if now_us - self._looked_us < LOOK_US:
            return
        self._looked_us = now_us
        if self._origins.watched.look():
            for mistake in self.mistakes:
                _LOG.warning("objectives: %s (what the file said before stays in force)", mistake)
            self.ask()

    def _uncounted(self, asked: Chosen) -> tuple[Objective, ...]:
        known = {counts.objective.version for counts in self._counted.fold.counts}
        return tuple(each for each in asked.objectives if each.version not in known)

    def _without(self, asked: Chosen, new: Sequence[Objective]) -> Chosen:
        """Return what is wanted, with the earlier version of whatever must be counted first."""
        uncounted = {each.name for each in new}
        kept = [
            self.chosen.find(each.objective.name) if each.objective.name in uncounted else each
            for each in asked.written
        ]
        return Chosen(tuple(each for each in kept if each is not None))

    def _begun(self, new: tuple[Objective, ...]) -> Recount:
        now_us = self._clock()
        span = Span.of(self._counted.facts, now_us, {each.indicator.table for each in new})
        begun_us = min(each.window.period(now_us).from_us for each in new)
        return Recount(
            new,
            self._stored,
            from_us=max(begun_us, span.first_us),
            to_us=now_us + AHEAD_US,
            upto=self._counted.stored_upto(),
        )

    def _stored(self, objective: Objective, stretch: Stretch) -> Frame:
        """Return the facts of a stretch that an objective counts."""
        table = objective.indicator.table
        rows = self._counted.facts.frame(
            table,
            from_us=stretch.from_us,
            to_us=stretch.to_us,
            where="block > {after:Int64} AND block <= {upto:Int64}",
            params={"after": stretch.after, "upto": stretch.upto},
            columns=columns_of([objective])[table],
        )
        return self._counted.fold.of_record(rows)

    def _finish(self, recount: Recount, asked: Chosen) -> bool:
        """Add what was stored while it was counted, and let the fold go on from there.

        The fold's cursor is held so that what it has counted and the store has not yet stored
        stays in the journal; the next step tries again while the store is behind the cursor.
        """
        counting, upto = self._counted.counting, self._counted.stored_upto()
        if upto < self._counted.fold.hold():
            return False
        now_us = self._clock()
        recount.reach(upto, now_us + AHEAD_US)
        cells = recount.cells()
        new = [
            counting.counted(each, cells[each.version], upto=upto, now_us=now_us)
            for each in recount.objectives
        ]
        longer = [each for each in recount.objectives if isinstance(each.window, Calendar)]
        self._counted.rolling.step(longer, upto=upto, now_us=now_us, first_us=recount.from_us)
        self._change(asked, new, upto)
        self._recount = None
        return False

    def _give_up(self) -> None:
        self._recount = None
        self._counted.fold.release()

    def _change(self, to: Chosen, new: Sequence[ObjectiveCounts] = (), upto: int = 0) -> None:
        """Bring `to` into force, in the fold first; raises what the fold raises, then nothing changed."""
        if to == self.chosen:
            return
        fold, counting = self._counted.fold, self._counted.counting
        change = Change(
            objectives=to.objectives,
            new=tuple(new),
            upto=upto,
            note=lambda counts: counting.note(counts, upto),
        )
        fold.ask(change)
        try:
            change.taken.result(TAKEN_SECONDS)
        except TimeoutError:
            if change.taken.cancel():
                raise StoreUnavailable("change objectives: the counts cannot be written now") from None
            change.taken.result()
        self._origins.versions.replace(to.stored(), now_us=self._clock())
        _LOG.warning("objectives: in force are now %s", ", ".join(each.name for each in to.objectives))
        self.chosen = to


def wanted(origins: Origins) -> Chosen:
    """Return what files and the API's documents ask for; one that cannot be read is left out, and said."""
    given: list[Written] = []
    for each in origins.documents.listed():
        try:
            given += written_in(each.document, origin=Origin.API, source=f"API, given by {each.given_by}")
        except ObjectiveFileError as error:
            _LOG.warning("objectives: what the API was given as %s: %s", each.name, error)
    return chosen(origins.watched.written, given)
