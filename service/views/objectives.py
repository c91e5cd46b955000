"""The objectives page: every promise, and one of them with its minutes, windows and spenders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from service.evaluator import Evaluation
from service.views import promises
from service.views.asking import Asked, Queries, gapless, rows
from slo.cells import Cells, fold
from slo.durations import written
from slo.evaluate import Judgement
from slo.objective import Objective
from telemetry.frame import Frame, Ints
from telemetry.units import MICROS_PER_MINUTE

MOST_ROWS: Final = 2_000_000
"""Most raw rows read to say who spent a budget; a longer range says so."""


def view(
    evaluation: Evaluation,
    question: Asked,
    *,
    sources: Mapping[str, str],
    cells: Cells | None,
    spenders: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the page. `cells` and `spenders` are of the objective that was asked for, if any."""
    found = promises.rows(evaluation.judgements)
    judgement = chosen(evaluation.judgements, question)
    selected = None
    if judgement is not None:
        selected = _selected(judgement, question, sources, cells or Cells.empty()) | {"spent": list(spenders)}
    return {"objectives": found, "selected": selected}


def chosen(judgements: Sequence[Judgement], question: Asked) -> Judgement | None:
    """Return the objective that the address names; None when it names none that is judged."""
    name = question.filters.get("name")
    return next((each for each in judgements if each.objective.name == name), None)


def _selected(
    judgement: Judgement, question: Asked, sources: Mapping[str, str], cells: Cells
) -> dict[str, Any]:
    objective = judgement.objective
    return {
        "title": objective.display_name,
        "description": objective.description or objective.sentence(),
        "indicator": objective.indicator.kind,
        "window": written(objective.period_us),
        "version": objective.version,
        "guess": objective.guess,
        "source": sources.get(objective.name, "the service's settings"),
        "pairs": _pairs(judgement, question),
        "minutes": _minutes(cells, question, objective),
        "budget": _budget(cells, question, objective),
    }


def _group(judgement: Judgement, question: Asked) -> int | None:
    wanted = question.filters.get("group")
    names = [" / ".join(key) for key in judgement.counts.keys]
    if wanted in names:
        return names.index(wanted)
    return 0 if names else None


def _pairs(judgement: Judgement, question: Asked) -> list[dict[str, Any]]:
    group = _group(judgement, question)
    if group is None:
        return []
    objective, verdict = judgement.objective, judgement.verdict(group)
    return [
        {
            "severity": pair.severity.value,
            "long": written(pair.long_us),
            "short": written(pair.short_us),
            "factor": f"{float(pair.factor(objective.period_us)):g}",
            "long_burn": promises.ratio(verdict.window(pair.long_us).burn),
            "short_burn": promises.ratio(verdict.window(pair.short_us).burn),
            "fires": bool(judgement.answers[at, group] == 1),
        }
        for at, pair in enumerate(objective.alerts.pairs)
    ]


def _bucketed(cells: Cells, question: Asked) -> tuple[Ints, Ints, Ints]:
    """Return (bucket starts, good, total) of all groups together, in the chart's buckets."""
    width = max(question.width_us, MICROS_PER_MINUTE)
    starts, place = np.unique(cells.bucket * MICROS_PER_MINUTE // width * width, return_inverse=True)
    good, total = np.zeros(len(starts), dtype=np.int64), np.zeros(len(starts), dtype=np.int64)
    np.add.at(good, place, cells.good)
    np.add.at(total, place, cells.total)
    return starts, good, total


def _minutes(cells: Cells, question: Asked, objective: Objective) -> dict[str, list[Any]]:
    starts, good, total = _bucketed(cells, question)
    inside = starts >= question.from_us
    share = [g / t for g, t in zip(good[inside], total[inside], strict=True)]
    found = {"at": starts[inside].tolist(), "share": share}
    filled = gapless(found, _at_least_a_minute(question))
    return filled | {"target": [float(objective.target)] * len(filled["at"])}


def _budget(cells: Cells, question: Asked, objective: Objective) -> dict[str, list[Any]]:
    """Return the share of the budget left at each point, over the period's cells so far."""
    starts, good, total = _bucketed(cells, question)
    bad, seen = np.cumsum(total - good), np.cumsum(total)
    budget = float(objective.budget)
    left = [1 - b / (s * budget) for b, s in zip(bad.tolist(), seen.tolist(), strict=True)]
    return {"at": (starts // 1000).tolist(), "left": left}


def _at_least_a_minute(question: Asked) -> Asked:
    width = max(question.width_us, MICROS_PER_MINUTE)
    return Asked(
        now_us=question.now_us,
        from_us=question.from_us // width * width,
        to_us=question.to_us,
        width_us=width,
        dataset=question.dataset,
        filters=question.filters,
    )


def spent_by(requests: Frame, objective: Objective, *, most: int = 20) -> list[dict[str, Any]]:
    """Return which tenant and model had the bad requests of a frame, most first."""
    by_party = Objective(
        name=objective.name,
        indicator=objective.indicator,
        target=objective.target,
        window=objective.window,
        selector=objective.selector,
        group_by=("tenant", "model"),
        policy=objective.policy,
    )
    cells = fold(requests, by_party)
    totals = np.zeros((2, len(cells.keys)), dtype=np.int64)
    np.add.at(totals[0], cells.group, cells.total - cells.good)
    np.add.at(totals[1], cells.group, cells.total)
    bad_of_all = int(totals[0].sum())
    spenders = [
        {"tenant": tenant, "model": model, "bad": int(bad), "total": int(total), "share": bad / bad_of_all}
        for (tenant, model), bad, total in zip(cells.keys, *totals, strict=True)
        if bad
    ]
    return sorted(spenders, key=lambda row: -row["bad"])[:most]


def rows_in(store: Queries, question: Asked) -> int:
    """Return how many raw request rows the range holds."""
    sql = (
        "SELECT count() AS rows FROM requests WHERE ended_at_us >= {from_us:Int64} "
        "AND ended_at_us < {to_us:Int64} AND dataset = {dataset:String}"
    )
    return int(rows(store, sql, question.bound())[0]["rows"])
