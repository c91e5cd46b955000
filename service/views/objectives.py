"""The objectives page: every promise, and one of them with its minutes, windows and spenders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from service.alerting.evaluator import Evaluation
from service.counting.counts import key_text
from service.views import promises, spenders
from service.views.asking import Asked, Queries, columns, gapless, minutes_of
from service.views.burn_down import burn_down
from service.views.sentences import Opening, Sentence, Tone, age, full_stop, plural
from service.views.spenders import Facts
from slo.burn import YES
from slo.cells import Key
from slo.conditions import counted, left, period, subject, times
from slo.durations import written
from slo.evaluate import Judgement, Verdict
from slo.objective import Objective
from slo.pairs import Pair
from slo.slices import Timeslices
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
_NO_DATA: Final = Sentence("No request has been judged by it yet: no data is not the same as kept.")


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
    def key(self) -> Key | None:
        """The group's name; None when none is named."""
        return None if self.group is None else self.judgement.counts.keys[self.group]

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
    """Return what the page shows of one objective. Five statements, two of raw requests."""
    objective, verdict = one.objective, one.verdict
    return {
        "name": objective.name,
        "title": objective.display_name if verdict is None else subject(objective, verdict.group),
        "group": None if verdict is None else " / ".join(verdict.group),
        "promise": objective.sentence(),
        "description": objective.description,
        "version": objective.version,
        "guess": objective.guess,
        "pairs": _pairs(one),
        "unit": objective.indicator.unit,
        "budget": burn_down(store, question, one.judgement, one.group),
        **spenders.view(store, question, objective, one.key),
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
    budgeting = one.objective.budgeting  # the promise about requests is that of a slice, where slices count
    target = budgeting.target if isinstance(budgeting, Timeslices) else one.objective.target
    return {"good_share": filled | {"target": [float(target)] * len(filled["at"])}}


def _bound(question: Asked, one: Chosen) -> dict[str, Any]:
    key = "" if one.key is None else key_text(one.key)
    return question.bound(version=one.objective.version, group=key)


def _pairs(one: Chosen) -> list[dict[str, Any]]:
    """Return each pair of windows that alerts: of the group, or of the one that burns fastest by it."""
    judgement, found = one.judgement, []
    groups = range(len(judgement.counts.keys)) if one.group is None else range(one.group, one.group + 1)
    for at, pair in enumerate(one.objective.alerts.pairs if groups else ()):
        verdict = judgement.verdict(_fastest(judgement, pair) if one.group is None else one.group)
        found.append(
            {
                "severity": pair.severity.value,
                "long": written(pair.long_us),
                "short": written(pair.short_us),
                "factor": float(pair.factor(one.objective.period_us)),
                "never": one.objective.why_silent(pair),
                "long_burn": promises.ratio(verdict.window(pair.long_us).burn),
                "short_burn": promises.ratio(verdict.window(pair.short_us).burn),
                "fires": int((judgement.answers[at, groups] == YES).sum()),
                "groups": len(groups),
                "group": " / ".join(verdict.group),
            }
        )
    return found


def _fastest(judgement: Judgement, pair: Pair) -> int:
    """Return the group whose slower window of a pair burns the fastest."""
    counts = judgement.counts
    windows = [counts.windows_us.index(each) for each in (pair.long_us, pair.short_us)]
    total = np.maximum(counts.total[windows], 1)
    return int(((counts.total[windows] - counts.good[windows]) / total).min(axis=0).argmax())


def few(store: Queries, question: Asked, one: Chosen) -> bool:
    """Tell whether the facts that a trial of the range reads are so few that it can be made unasked."""
    longest = max(one.objective.paired_us, default=0)
    asked = replace(question, from_us=question.from_us - longest)
    return spenders.count(store, asked, one.objective) <= spenders.MOST_RAW_ROWS


def _opening(evaluation: Evaluation, question: Asked, one: Chosen | None) -> Opening:
    if one is None and question.filters.get("name"):
        missing = Sentence(f"No objective is called {question.filters['name']!r}.", "/objectives")
        return Opening(Tone.UNKNOWN, [missing])
    if one is not None and one.verdict is not None:
        opening = _of_one(one.verdict)
        return Opening(opening.tone, [*opening.sentences, *promises.left_out(one.judgement)])
    judged = evaluation.judgements if one is None else (one.judgement,)
    tally = promises.tally(judged)
    if tally.unknown == tally.promises:
        none = f"None of {plural(tally.promises, 'promise')} has seen a request in its period"
        return Opening(
            Tone.UNKNOWN, [_NO_DATA if one else Sentence(f"{none}: no data is not the same as kept.")]
        )
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
    standing = [
        f"{count:,} {one if count == 1 else many}"
        for count, one, many in (
            (kept, "has budget left", "have budget left"),
            (tally.overspent, "is overspent", "are overspent"),
            (tally.unknown, "has no data", "have no data"),
        )
        if count
    ]
    return (
        f"{f'{tally.burning:,}' if tally.burning else 'None'} of {plural(tally.promises, 'promise')} "
        f"{'burns' if tally.burning == 1 else 'burn'} fast enough to alert"
        f"{f', {tally.paging:,} to page' if tally.paging else ''}; {', '.join(standing)}."
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
