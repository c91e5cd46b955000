"""Requests as demand: who ran, on which instance, and in which class each one's work falls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cost.classes import CODE, CostClass, Scope
from cost.demand import Parties
from cost.fleet import Instance
from cost.load import RunLoad
from cost.runs import Amounts, Times
from telemetry.frame import Frame, Ints, Mask, Texts
from telemetry.requests import Status


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests that ran, ordered by id, each once. Build with `Requests.of`."""

    parties: Parties
    replica: Texts
    pool: Texts
    klass: Ints
    times: Times
    amounts: Amounts

    @classmethod
    def of(cls, requests: Frame, missed: Mask) -> Requests:
        """Take the rows of a `requests` frame that ran; `missed` marks those that broke a limit.

        A row that gives no sign of having reached an engine (a rejection: no token, no first
        token, no run time) is left out. A repeated row counts once. Error and abort outrank
        `missed`. All instants must be of one clock.
        """
        rows = _once(requests, np.flatnonzero(_ran(requests)))
        kept = requests.take(rows)
        return cls(
            parties=Parties(kept.texts("request_id"), kept.texts("tenant"), kept.texts("model")),
            replica=kept.texts("replica"),
            pool=kept.texts("pool"),
            klass=_class_codes(kept.texts("status"), missed[rows]),
            times=Times.of(kept),
            amounts=Amounts.of(kept),
        )

    def on(self, instance: Instance) -> RunLoad:
        """Return the load of one instance: its own requests, or a pool's that name no replica."""
        rows = np.flatnonzero(self._belongs(instance))
        return RunLoad(
            instance,
            self.parties.take(rows),
            klass=self.klass[rows],
            times=self.times.take(rows),
            amounts=self.amounts.take(rows),
        )

    def unplaced(self, instances: Sequence[Instance]) -> int:
        """Return how many requests ran on none of the instances."""
        placed = np.zeros(len(self.klass), dtype=np.bool_)
        for instance in instances:
            placed |= self._belongs(instance)
        return int(np.count_nonzero(~placed))

    def _belongs(self, instance: Instance) -> Mask:
        if instance.scope is Scope.REPLICA:
            return self.replica.equals(instance.name)
        nameless: Mask = self.replica.codes < 0
        own_pool: Mask = self.pool.codes < 0 if instance.pool is None else self.pool.equals(instance.pool)
        return nameless & own_pool


def _ran(requests: Frame) -> Mask:
    status = requests.texts("status")
    ran = status.equals(Status.OK) | requests.numbers("ttft_us").valid
    for name in ("output_tokens", "prefill_tokens", "run_us"):
        ran = ran | (requests.numbers(name).values > 0)
    return ran | (status.equals(Status.ABORTED) & (requests.numbers("prompt_tokens").values > 0))


def _once(requests: Frame, rows: Ints) -> Ints:
    """Return rows ordered by request id, the first of each (request, replica)."""
    names = [_ranks(requests.texts(name))[rows] for name in ("request_id", "replica")]
    instants = [requests.numbers(name).values[rows] for name in ("started_at_us", "ended_at_us")]
    order = np.lexsort((*reversed(instants), *reversed(names)))
    keys = np.stack([name[order] for name in names])
    fresh = np.any(np.diff(keys, axis=1, prepend=-2) != 0, axis=0)
    return rows[order[fresh]]


def _ranks(column: Texts) -> Ints:
    order = np.argsort(np.array(column.words, dtype=np.str_))
    ranks = np.empty(len(order) + 1, dtype=np.int64)
    ranks[order] = np.arange(len(order))
    ranks[-1] = -1
    return ranks[column.codes]


def _class_codes(status: Texts, missed: Mask) -> Ints:
    codes = np.where(missed, CODE[CostClass.SLO_MISS], CODE[CostClass.USEFUL])
    codes = np.where(status.equals(Status.ABORTED), CODE[CostClass.WASTE_CANCEL], codes)
    return np.where(status.equals(Status.ERROR), CODE[CostClass.WASTE_ERROR], codes)
