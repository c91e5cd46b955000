"""Counts judged: which alerts hold, how fast the budget burns, how much of it is left.

`judge` works on all groups at once, `judge_all` on those of many objectives; a `Verdict` with its
exact fractions is made only for the group that is asked for.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from slo.burn import NO, UNKNOWN, YES, Answers, budget_remaining, burn_rate, pair_fires
from slo.cells import Key
from slo.corrections import Correction
from slo.objective import Objective
from slo.pairs import Pair
from slo.ring import Counts
from telemetry.condition import Holds, Severity

HOLDS = {YES: Holds.YES, NO: Holds.NO, UNKNOWN: Holds.UNKNOWN}


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowVerdict:
    """One window of one group. `burn` is None where there was no traffic."""

    window_us: int
    good: int
    total: int
    burn: Fraction | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be said of one group of an objective at one instant.

    `budget_remaining` is the share of the period's budget that is left, negative when
    overspent, None when the period saw no traffic: no data is not a promise kept.
    `firing` is the most urgent pair that fires, None if none does.
    """

    objective: Objective
    group: Key
    at_us: int
    windows: tuple[WindowVerdict, ...]
    budget_remaining: Fraction | None
    firing: Pair | None

    def window(self, window_us: int) -> WindowVerdict:
        """Return one window; `ValueError` for one the objective is not measured over."""
        return self.windows[self.objective.windows_us.index(window_us)]

    @property
    def kept(self) -> bool | None:
        """Whether the target is met over the period so far; None = no data."""
        return None if self.budget_remaining is None else self.budget_remaining >= 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """Every group of an objective at one instant: `answers[p, g]` = whether pair p fires for g.

    `corrections` are the times that its counts leave out.
    """

    objective: Objective
    counts: Counts
    answers: Answers
    corrections: tuple[Correction, ...] = ()

    def holds(self, severity: Severity) -> Answers:
        """Return for each group whether any pair of a severity fires; NO if it has no pair."""
        asked = [at for at, pair in enumerate(self.objective.alerts.pairs) if pair.severity is severity]
        answers: Answers = self.answers[asked].max(axis=0, initial=NO)
        return answers

    def firing(self, group: int, severity: Severity | None = None) -> Pair | None:
        """Return the most urgent pair that fires for a group, of any or of one severity."""
        for at, pair in enumerate(self.objective.alerts.pairs):
            if self.answers[at, group] == YES and severity in (None, pair.severity):
                return pair
        return None

    def verdict(self, group: int) -> Verdict:
        """Return the verdict on group number `group` of the counts, with exact fractions."""
        budget, counts = self.objective.budget, self.counts
        windows = []
        for window_us in self.objective.windows_us:
            at = counts.windows_us.index(window_us)
            good, total = int(counts.good[at, group]), int(counts.total[at, group])
            burn = burn_rate(total - good, total, budget)
            windows.append(WindowVerdict(window_us=window_us, good=good, total=total, burn=burn))
        period = windows[-1]
        return Verdict(
            objective=self.objective,
            group=counts.keys[group],
            at_us=counts.at_us,
            windows=tuple(windows),
            budget_remaining=budget_remaining(
                period.total - period.good, period.total, budget, ahead=counts.ahead
            ),
            firing=self.firing(group),
        )


def judge(objective: Objective, counts: Counts) -> Judgement:
    """Return every group judged at `counts.at_us`; about 0.05 us a group, four times that where proof is due.

    `counts` must hold the objective's windows (`Objective.windows_us`); `ValueError` if not.
    """
    pairs = objective.alerts.pairs
    answers = np.full((len(pairs), counts.total.shape[1]), NO, dtype=np.int8)
    for at, pair in enumerate(pairs):
        long, short = counts.window(pair.long_us), counts.window(pair.short_us)
        answers[at] = pair_fires(objective, pair, long=long, short=short)
    return Judgement(objective, counts, answers)


def judge_all(asked: Sequence[tuple[Objective, Counts]]) -> list[Judgement]:
    """Return many objectives judged, as `judge` would each; those with equal thresholds at once."""
    alike: dict[Hashable, list[int]] = {}
    for at, (objective, counts) in enumerate(asked):
        alike.setdefault((objective.thresholds, counts.windows_us), []).append(at)
    judged: dict[int, Judgement] = {}
    for places in alike.values():
        together = [asked[at] for at in places]
        answers = judge(together[0][0], _side_by_side([counts for _, counts in together])).answers
        ends = np.cumsum([len(counts.keys) for _, counts in together]).tolist()
        for at, (objective, counts), end in zip(places, together, ends, strict=True):
            judged[at] = Judgement(objective, counts, answers[:, end - len(counts.keys) : end])
    return [judged[at] for at in range(len(asked))]


def _side_by_side(counts: Sequence[Counts]) -> Counts:
    """Return the windows of several objectives as if they were groups of one."""
    good, total = (
        np.concatenate([getattr(each, name) for each in counts], axis=1) for name in ("good", "total")
    )
    return replace(counts[0], keys=(), good=good, total=total)


def evaluate(objective: Objective, counts: Counts) -> list[Verdict]:
    """Return the verdict on every group, in the order of `counts.keys`."""
    judgement = judge(objective, counts)
    return [judgement.verdict(group) for group in range(len(counts.keys))]
