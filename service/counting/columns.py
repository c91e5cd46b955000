"""Which columns of facts counting reads: few of many, so that no others are unpacked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from slo.objective import Objective

Columns = Mapping[str, Collection[str]]
"""The columns that counting reads, by table."""


def columns_of(objectives: Iterable[Objective]) -> Columns:
    """Return the columns that counting for these objectives reads; requests are always among them.

    The ids of requests are not: a text of its own for each row is dear, see `with_ids`.
    """
    columns = {"requests": {"vantage", "pool", "ended_at_us"}}
    for each in objectives:
        columns.setdefault(each.indicator.table, set()).update(each.columns)
    return columns


def with_ids(columns: Columns) -> Columns:
    """Return the columns and the ids of requests, by which those counted while in flight are known."""
    return {**columns, "requests": {*columns["requests"], "request_id"}}
