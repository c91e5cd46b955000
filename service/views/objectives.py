"""The objectives page: every promise, and one of them with its minutes, windows and spenders."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np

from service.alerting.evaluator import Evaluation
from service.counting.counts import key_of, key_text
from service.views import promises
from service.views.asking import (
    AT_VANTAGE,
    FRESH_US,
    Asked,
    Queries,
    columns,
    gapless,
    minutes_of,
    rows,
)
from service.views.burn_down import burn_down
from service.views.sentences import Opening, Sentence, Tone, age, full_stop, plural
from slo.burn import YES
from slo.cells import UNKNOWN_WORD, Cells, fold, merge
from slo.conditions import counted, left, period, subject, times
from slo.durations import written
from slo.evaluate import Judgement, Verdict
from slo.objective import Objective
from slo.overdue import overdue
from telemetry.columns import TABLE
from telemetry.frame import Frame
from telemetry.units import MICROS_PER_HOUR

_CELLS: Final = """
SELECT bucket_us, group_key, argMax(good, (upto, written_at_us)) AS good,
       argMax(total, (upto, written_at_us)) AS total FROM count_cells
 WHERE objective_version = {version:String} AND bucket_width_us = 60000000
   AND bucket_us >= {from_us:Int64} AND bucket_us < {to_us:Int64} AND dataset = {dataset:String}
   AND ({group:String} = '' OR group_key = {group:String})
 GROUP BY bucket_us, group_key"""
_OVER_TIME: Final = (
    "SELECT intDiv(bucket_us, {width_us:Int64}) * {width_us:Int64} AS at, sum(good) AS good, "
    "sum(total) AS total FROM (" + _CELLS + ") GROUP BY at ORDER BY at"
)
_BY_GROUP: Final = (
    "SELECT group_key, sum(total) - sum(good) AS bad, sum(total) AS requests FROM (" + _CELLS + ") "
    "GROUP BY group_key HAVING bad > 0 ORDER BY bad DESC LIMIT 20"
)
MOST_RAW_ROWS: Final = 300_000
"""Most requests or samples read one by one to say who spent a budget; beyond, groups are named."""
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
_NO_DATA: Final = Sentence("No request has been judged by it yet: no data is not the same as kept.")


class Facts(Queries, Protocol):
    """What this view needs of the facts store besides questions."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The objective that the address names, and which of its groups (None = all together)."""

    judgement: Judgement
    group: int | None

    @property
    def objective(self) -> Objective:
        """The objective."""
        return self.judgement.objective

    @property
    def verdict(self) -> Verdict | None:
        """The verdict on the group; None when none is named."""
        return None if self.group is None else self.judgement.verdict(self.group)


def chosen(judgements: Sequence[Judgement], question: Asked) -> Chosen | None:
    """Return the objective that the address names; None when it names none that is judged."""
    name, wanted = question.filters.get("name"), question.filters.get("group")
    for judgement in judgements:
        if judgement.objective.name == name:
            groups = [" / ".join(key) for key in judgement.counts.keys]
            group = groups.index(wanted) if wanted in groups else 0 if len(groups) == 1 else None
            return Chosen(judgement=judgement, group=group)
    return None


def view(
    evaluation: Evaluation, question: Asked, one: Chosen | None, detail: Mapping[str, Any] | None
) -> tuple[Opening, dict[str, Any]]:
    """Return the page and what it opens with. `detail` is of the objective that was asked for."""
    judged = evaluation.judgements if one is None else (one.judgement,)
    body = {
        "objectives": promises.rows(judged),
        "objectives_in_all": promises.tally(judged).promises,
        "selected": detail,
    }
    return _opening(evaluation, question, one), body


def detailed(store: Facts, question: Asked, one: Chosen) -> dict[str, Any]:
    """Return what the page shows of one objective. Six statements, two of raw requests."""
    objective, verdict = one.objective, one.verdict
    spent, by_group = _spent(store, question, one)
    return {
        "name": objective.name,
        "title": objective.display_name if verdict is None else subject(objective, verdict.group),
        "group": None if verdict is None else " / ".join(verdict.group),
        "promise": objective.sentence(),
        "description": objective.description,
        "version": objective.version,
        "guess": objective.guess,
        "pairs": _pairs(one),
        "spent": spent,
        "unit": objective.indicator.unit,
        "spent_by_group": by_group,
        "spent_parties": objective.group_by if by_group else PARTIES[objective.indicator.table],
        "budget": burn_down(store, question, one.judgement, one.group),
    }


def charts(store: Queries, question: Asked, one: Chosen | None) -> dict[str, Any]:
    """Return the good share of each minute or wider bucket; None where no request ended. One statement."""
    if one is None:
        return {}
    wide = minutes_of(question)
    found = columns(store, _OVER_TIME, _bound(wide, one))
    pairs = list(zip(found.get("good", ()), found.get("total", ()), strict=True))
    shares = {
        "at": found.get("at", []),
        "share": [good / total if total else None for good, total in pairs],
        "bad": [total - good for good, total in pairs],
        "total": [total for _, total in pairs],
    }
    filled = gapless(shares, wide)
    return {"good_share": filled | {"target": [float(one.objective.target)] * len(filled["at"])}}


def _bound(question: Asked, one: Chosen) -> dict[str, Any]:
    key = "" if one.group is None else key_text(one.judgement.counts.keys[one.group])
    return question.bound(version=one.objective.version, group=key)


def _pairs(one: Chosen) -> list[dict[str, Any]]:
    verdict = one.verdict
    if verdict is None:
        return []
    return [
        {
            "severity": pair.severity.value,
            "long": written(pair.long_us),
            "short": written(pair.short_us),
            "factor": float(pair.factor(one.objective.period_us)),
            "long_burn": promises.ratio(verdict.window(pair.long_us).burn),
            "short_burn": promises.ratio(verdict.window(pair.short_us).burn),
            "fires": bool(one.judgement.answers[at, one.group] == YES),
        }
        for at, pair in enumerate(one.objective.alerts.pairs)
    ]


def few(store: Queries, question: Asked, one: Chosen) -> bool:
    """Tell whether the facts that a trial of the range reads are so few that it can be made unasked."""
    longest = max(one.objective.paired_us, default=0)
    asked = replace(question, from_us=question.from_us - longest)
    return int(rows(store, _ROWS[one.objective.indicator.table], asked.bound())[0]["rows"]) <= MOST_RAW_ROWS


def _spent(store: Facts, question: Asked, one: Chosen) -> tuple[list[dict[str, Any]], bool]:
    """Return who had the bad requests, most first, and whether only groups could be told apart."""
    table = one.objective.indicator.table
    if int(rows(store, _ROWS[table], question.bound())[0]["rows"]) > MOST_RAW_ROWS:
        return _by_group(rows(store, _BY_GROUP, _bound(question, one)), one), True
    needed = {*one.objective.columns, *PARTIES[table], "request_id"}
    ended = _frame(store, table, question, needed)
    fresh = replace(question, from_us=max(question.from_us, question.to_us - FRESH_US))
    under_way = Frame.empty("in_flight") if question.pinned else _frame(store, "in_flight", fresh, None)
    return spent_by(ended, under_way, one), False


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


def _by_group(found: Sequence[Mapping[str, Any]], one: Chosen) -> list[dict[str, Any]]:
    of_all = sum(row["bad"] for row in found)
    return [
        {
            **dict(zip(one.objective.group_by, key_of(row["group_key"]), strict=True)),
            "bad": row["bad"],
            "total": row["requests"],
            "share": row["bad"] / of_all,
        }
        for row in found
    ]


def spent_by(ended: Frame, under_way: Frame, one: Chosen) -> list[dict[str, Any]]:
    """Return which tenant, model, replica and outcome had the bad requests of two frames, most first.

    A request `under_way` that is too late already counts, though nobody knows how it will end.
    Facts of other tables are told by `PARTIES`.
    """
    objective, parties = one.objective, PARTIES[ended.table]
    if one.group is not None:
        ended, under_way = (_in_group(frame, one) for frame in (ended, under_way))
    by_party = replace(objective, group_by=parties)
    if ended.table != "requests":
        return ranked(fold(ended, by_party), parties)
    waiting = replace(by_party, group_by=parties[:-1])
    late = overdue(under_way, waiting, ended.texts("request_id").words).cells
    late = late.renamed([(*key, UNDER_WAY) for key in late.keys])
    return ranked(merge([fold(ended, by_party), late]), parties)


def _in_group(facts: Frame, one: Chosen) -> Frame:
    """Return the rows of the chosen group; none of a table that does not know what it is grouped by."""
    rows = np.ones(facts.rows, dtype=np.bool_)
    key = () if one.group is None else one.judgement.counts.keys[one.group]
    for column, word in zip(one.objective.group_by, key, strict=False):
        if column not in facts.columns:
            return Frame.empty(facts.table)
        texts = facts.texts(column)
        rows &= texts.equals(word) | ((texts.codes < 0) & (word == UNKNOWN_WORD))
    return facts.take(rows)


def ranked(cells: Cells, names: Sequence[str], *, most: int = 20) -> list[dict[str, Any]]:
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


def _opening(evaluation: Evaluation, question: Asked, one: Chosen | None) -> Opening:
    if one is None and question.filters.get("name"):
        missing = Sentence(f"No objective is called {question.filters['name']!r}.", "/objectives")
        return Opening(Tone.UNKNOWN, [missing])
    if one is not None and one.verdict is not None:
        opening = _of_one(one.verdict)
        return Opening(opening.tone, [*opening.sentences, *promises.left_out(one.judgement)])
    judged = evaluation.judgements if one is None else (one.judgement,)
    tally = promises.tally(judged)
    if not tally.promises:
        return Opening(Tone.UNKNOWN, [_NO_DATA] if one else [Sentence("No promise has seen a request yet.")])
    worst = promises.rows(judged, 1)[0]
    named = f"{worst['title']}{' of ' + worst['group'] if worst['group'] else ''}"
    address = {"name": worst["objective"], "group": worst["group"]}
    sentences = [Sentence(_counted(tally))]
    if worst["budget_left"] is not None and worst["budget_left"] < 1:
        told = f"{named} has the least: {_left_words(worst['budget_left'])}."
        sentences.append(Sentence(told, "/objectives", address))
    sentences += [Sentence(each) for each in promises.folded(judged)]
    return Opening(tally.tone, sentences)


def _counted(tally: promises.Tally) -> str:
    """Return how many promises stand how: every one is in exactly one of the last three."""
    kept = tally.promises - tally.unknown - tally.overspent
    verb = "burns" if tally.burning == 1 else "burn"
    return (
        f"{tally.burning or 'None'} of {plural(tally.promises, 'promise')} {verb} fast enough to alert"
        f"{f', {tally.paging} to page' if tally.paging else ''}; {kept} have budget left, "
        f"{tally.overspent} have overspent it, {tally.unknown} have no data."
    )


def _left_words(ratio: float) -> str:
    return f"{ratio * 100:.3g} % of its budget is left" if ratio >= 0 else f"overspent {1 - ratio:.3g}x"


def _of_one(verdict: Verdict) -> Opening:
    objective = verdict.objective
    least_us = min(MICROS_PER_HOUR, objective.period_us)
    hour = next(each for each in verdict.windows if each.window_us >= least_us)
    whole = verdict.window(objective.period_us)
    if verdict.budget_remaining is None:
        return Opening(Tone.UNKNOWN, [_NO_DATA])
    said = (
        f"{subject(objective, verdict.group)}: {counted(objective, whole)} "
        f"broke the promise in its {period(objective)} window; {left(verdict.budget_remaining)}"
    )
    sentences = [Sentence(full_stop(said))]
    if hour.burn is not None and hour.burn > 0:
        pace = f"Over the last {written(hour.window_us)} it burns at {times(hour.burn)} the allowed pace"
        if verdict.budget_remaining > 0:
            until = int(verdict.budget_remaining * objective.period_us / hour.burn)
            pace += f"; at that pace the rest is spent in {age(until)}"
        sentences.append(Sentence(f"{pace}."))
    if verdict.firing:
        tone = Tone.BAD if verdict.firing.severity.value == "page" else Tone.WARN
    else:
        tone = Tone.GOOD if verdict.kept else Tone.WARN
    return Opening(tone, sentences)
