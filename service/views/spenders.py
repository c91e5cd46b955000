"""Who spent a budget: the bad requests or samples of a range by tenant, model, replica and cause."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import numpy as np

from service.counting.counts import key_of, key_text
from service.views.asking import AT_VANTAGE, FRESH_US, Asked, Queries, rows
from slo.cells import UNKNOWN_WORD, Cells, Key, fold, merge
from slo.objective import Objective
from slo.overdue import overdue
from telemetry.columns import TABLE
from telemetry.frame import Frame

MOST_RAW_ROWS: Final = 300_000
"""Most requests or samples read one by one to say who spent a budget; beyond, groups are named."""
MOST_TOGETHER: Final = 20
"""Most combinations of tenant, model, replica and cause that are told."""
MOST_OF_ONE: Final = 5
"""Most tenants, models, replicas or causes that are told, each by itself."""
PARTIES: Final[Mapping[str, tuple[str, ...]]] = {
    "requests": ("tenant", "model", "replica", "status"),
    "token_gaps": ("model", "replica"),
    "gpu_samples": ("host", "gpu_uuid", "gpu_model"),
    "engine_samples": ("replica", "host", "model"),
}
"""By which columns of its table it is told who spent a budget."""
UNDER_WAY: Final = "under way"
"""The outcome of a request that has none yet."""
_ROWS: Final = {
    table: f"SELECT count() AS rows FROM {table} WHERE {TABLE[table].time_column} >= {{from_us:Int64}} "
    f"AND {TABLE[table].time_column} < {{to_us:Int64}} AND dataset = {{dataset:String}}"
    for table in PARTIES
}
_BY_GROUP: Final = """
SELECT group_key, sum(total) - sum(good) AS bad, sum(total) AS requests
  FROM (SELECT bucket_us, group_key, argMax(good, (upto, written_at_us)) AS good,
               argMax(total, (upto, written_at_us)) AS total FROM count_cells
         WHERE objective_version = {version:String} AND bucket_width_us = 60000000
           AND bucket_us >= {from_us:Int64} AND bucket_us < {to_us:Int64} AND dataset = {dataset:String}
           AND ({group:String} = '' OR group_key = {group:String})
         GROUP BY bucket_us, group_key)
 GROUP BY group_key HAVING bad > 0 ORDER BY bad DESC LIMIT 10000"""


class Facts(Queries, Protocol):
    """What is needed of the facts store besides questions."""

    def frame(
        self,
        table: str,
        *,
        from_us: int,
        to_us: int,
        dataset: str = "",
        where: str = "",
        params: Mapping[str, Any] | None = None,
        columns: Collection[str] | None = None,
    ) -> Frame:
        """Return facts with event time in [from_us, to_us)."""
        ...


def count(store: Queries, question: Asked, objective: Objective) -> int:
    """Return how many facts a range holds of the table that an objective counts. One statement."""
    return int(rows(store, _ROWS[objective.indicator.table], question.bound())[0]["rows"])


def view(store: Facts, question: Asked, objective: Objective, key: Key | None) -> dict[str, Any]:
    """Return who had the bad requests of a group (None = of all): each party by itself, and together.

    Up to three statements, two of raw facts. Past `MOST_RAW_ROWS` facts only groups are told apart.
    """
    by_group = count(store, question, objective) > MOST_RAW_ROWS
    parties = objective.group_by if by_group else PARTIES[objective.indicator.table]
    found = _groups(store, question, objective, key) if by_group else _read(store, question, objective, key)
    return {
        "spent": ranked(found, parties, most=MOST_TOGETHER),
        "spent_by_party": list(_each(found, parties)),
        "spent_by_group": by_group,
        "spent_parties": parties,
    }


def ranked(cells: Cells, names: Sequence[str], *, most: int) -> list[dict[str, Any]]:
    """Return groups by how many of their requests were bad; those without a bad one are left out."""
    totals = np.zeros((2, len(cells.keys)), dtype=np.int64)
    np.add.at(totals[0], cells.group, cells.total - cells.good)
    np.add.at(totals[1], cells.group, cells.total)
    of_all = int(totals[0].sum())
    found = [
        {**dict(zip(names, key, strict=True)), "bad": int(bad), "total": int(total), "share": bad / of_all}
        for key, bad, total in zip(cells.keys, *totals, strict=True)
        if bad
    ]
    return sorted(found, key=lambda each: -each["bad"])[:most]


def _each(cells: Cells, parties: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield who was worst of each party by itself; no party of which nothing is known."""
    for at, party in enumerate(parties):
        words = [(key[at],) for key in cells.keys]
        if any(word != UNKNOWN_WORD for (word,) in words):
            yield {"party": party, "rows": ranked(cells.renamed(words), (party,), most=MOST_OF_ONE)}


def _groups(store: Queries, question: Asked, objective: Objective, key: Key | None) -> Cells:
    """Return the bad and all of each group, from count cells."""
    group = "" if key is None else key_text(key)
    found = rows(store, _BY_GROUP, question.bound(version=objective.version, group=group))
    bad, total = (np.array([row[name] for row in found], dtype=np.int64) for name in ("bad", "requests"))
    at = np.arange(len(found))
    keys = [key_of(row["group_key"]) for row in found]
    return Cells.of(keys, group=at, bucket=np.zeros_like(at), good=total - bad, total=total)


def _read(store: Facts, question: Asked, objective: Objective, key: Key | None) -> Cells:
    """Return the good and all of each combination of parties, from facts.

    A request under way that is too late already counts, though nobody knows how it will end.
    """
    table = objective.indicator.table
    parties = PARTIES[table]
    ended = _frame(store, table, question, {*objective.columns, *parties, "request_id"})
    by_party = replace(objective, group_by=parties)
    counted = fold(_in_group(ended, objective, key), by_party)
    if table != "requests" or question.pinned:
        return counted
    fresh = replace(question, from_us=max(question.from_us, question.to_us - FRESH_US))
    under_way = _in_group(_frame(store, "in_flight", fresh, None), objective, key)
    waiting = replace(by_party, group_by=parties[:-1])
    late = overdue(under_way, waiting, ended.texts("request_id").words).cells
    return merge([counted, late.renamed([(*each, UNDER_WAY) for each in late.keys])])


def _frame(store: Facts, table: str, question: Asked, columns: Collection[str] | None) -> Frame:
    bound = question.bound()
    return store.frame(
        table,
        from_us=question.from_us,
        to_us=question.to_us,
        dataset=question.dataset,
        where=AT_VANTAGE if table in ("requests", "in_flight") else "",
        params={name: bound[name] for name in ("vantage_pools", "vantage_words")},
        columns=columns,
    )


def _in_group(facts: Frame, objective: Objective, key: Key | None) -> Frame:
    """Return the rows of a group; none of a table that does not know what it is grouped by."""
    chosen = np.ones(facts.rows, dtype=np.bool_)
    for column, word in zip(objective.group_by, key or (), strict=False):
        if column not in facts.columns:
            return Frame.empty(facts.table)
        texts = facts.texts(column)
        chosen &= texts.equals(word) | ((texts.codes < 0) & (word == UNKNOWN_WORD))
    return facts.take(chosen)
