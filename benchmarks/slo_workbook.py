"""The SRE workbook's alerting rules in our engine: when they fire, when they reset, what they miss.

    python benchmarks/slo_workbook.py [--incidents 2000] [--out FILE]

Two parts. The first plays the four incidents of the `derived-workbook` fixture (a fluid model in
exact steps of a second) through `Ring` and `judge`, in buckets of 1 s and of 60 s, and tells how
far each detection and each reset is from the fixture's. The second draws 2,000 incidents
(`default_rng(42)`; error ratios log-uniform from 0.0002 to 1, lengths log-uniform from a minute to
three days, rounded to minutes; 0.02 % of requests fail before and after) and tells precision and
recall of the workbook's six approaches beside reference table 4.4. An incident is significant when
it spends 2 % of the budget, for a ticket 10 %. They are drawn twice: all ratios and then all
lengths, which are other 2,000 incidents than the table's, and each ratio followed by its length,
which are the table's own.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
from parts.telling import tell
from ruamel.yaml import YAML

from service.objectives.words import duration
from slo.burn import YES, pair_fires
from slo.cells import Cells
from slo.indicators.availability import Availability
from slo.objective import Objective
from slo.pairs import Pair
from slo.ring import Ring
from telemetry.condition import Severity

SHARED = Path(__file__).resolve().parents[2] / "shared/fixtures/slo/derived-workbook"
SECOND = 1_000_000
DAY_S = 86_400
OBJECTIVE = Objective(name="availability", indicator=Availability(), target=Decimal("0.999"))
EVALUATION_S = 5
A_SECOND = 2_000
"""Requests a second: every error ratio of the fixture is a whole number of them, and no threshold
of a minute stands for so few errors that they would have to be proven."""
A_MINUTE = 1_000_000
BACKGROUND = 0.0002


@dataclass(frozen=True, slots=True)
class Rule:
    """One alerting rule: a pair of windows (both the same for a single one), held for so long."""

    approach: int
    pair: Pair
    for_s: int = 0

    @classmethod
    def of(cls, approach: int, windows: Sequence[str], factor: str, *, wait: str = "0s") -> Rule:
        """Return a rule as the fixture writes it."""
        long_us, short_us = duration(windows[0]), duration(windows[-1])
        share = Fraction(factor) * long_us / OBJECTIVE.period_us
        severity = Severity.TICKET if long_us >= duration("1d") else Severity.PAGE
        pair = Pair(severity=severity, long_us=long_us, short_us=short_us, share=share)
        return cls(approach, pair, duration(wait) // SECOND)


class Watch:
    """A ring of several incidents, and since when each rule has held for each of them."""

    def __init__(self, rules: Sequence[Rule], groups: int, *, width_s: int, start_s: int) -> None:
        windows = {us for rule in rules for us in (rule.pair.long_us, rule.pair.short_us)}
        self.rules, self.width_s = rules, width_s
        self.ring = Ring(
            windows_us=sorted(windows), now_us=start_s * SECOND, width_us=width_s * SECOND, group_cap=groups
        )
        self._keys = tuple((f"{group:05d}",) for group in range(groups))
        self._held = np.full((len(rules), groups), np.inf)

    def see(self, now_s: int, starts_s: np.ndarray, bad: np.ndarray, total: int) -> None:
        """Move on to `now_s` and count what began at these instants: `bad[g, i]` of `total` requests."""
        self.ring.advance(now_s * SECOND - 1)
        group, at = (each.ravel() for each in np.indices(bad.shape))
        counts = {"good": total - bad.ravel(), "total": np.full(bad.size, total)}
        self.ring.add(Cells.of(self._keys, group=group, bucket=starts_s[at] // self.width_s, **counts))

    def firing(self, now_s: int) -> np.ndarray:
        """Return whether each rule fires for each incident."""
        counts = self.ring.counts()
        for at, rule in enumerate(self.rules):
            long, short = counts.window(rule.pair.long_us), counts.window(rule.pair.short_us)
            holds = pair_fires(OBJECTIVE, rule.pair, long=long, short=short) == YES
            self._held[at] = np.where(holds, np.minimum(self._held[at], now_s), np.inf)
        waits = np.array([[rule.for_s] for rule in self.rules])
        return now_s - self._held >= waits


@dataclass(frozen=True, slots=True)
class Case:
    """One incident of the fixture and what each rule is to do: seconds, None = it does not fire."""

    error_ratio: Decimal
    length_s: int
    rules: tuple[Rule, ...]
    detect_s: tuple[int | None, ...]
    reset_s: tuple[int | None, ...]
    spent: tuple[float | None, ...]


def cases(folder: Path = SHARED) -> list[Case]:
    """Return the incidents of the fixture."""
    found = []
    for path in sorted(folder.glob("*/case.yaml")):
        case = YAML(typ="safe", pure=True).load(path)
        rules = case["rules"]
        found.append(
            Case(
                Decimal(str(case["incident"]["error_ratio"])),
                case["incident"]["duration_s"],
                tuple(
                    Rule.of(r["approach"], r["windows"], str(r["factor"]), wait=r.get("for", "0s"))
                    for r in rules
                ),
                tuple(rule.get("detect_s") for rule in rules),
                tuple(rule.get("reset_s") for rule in rules),
                tuple(rule.get("budget_spent_at_alert_pct") for rule in rules),
            )
        )
    return found


def instants(known: Sequence[Case], *, step_s: int, around_s: int, coarse_s: int) -> list[int]:
    """Return when to look: every `coarse_s`, and every `step_s` this close to a change the fixture tells of."""
    changes = [
        change
        for case in known
        for detect, reset in zip(case.detect_s, case.reset_s, strict=True)
        for change in (detect, None if reset is None else case.length_s + reset)
        if change is not None
    ]
    last = max(changes) + around_s + coarse_s
    fine = {at for change in changes for at in range(change - around_s, change + around_s + 1) if at > 0}
    return sorted({at for at in fine if at % step_s == 0} | set(range(coarse_s, last, coarse_s)))


def played(known: Sequence[Case], times: Iterable[int], *, width_s: int) -> list[np.ndarray]:
    """Return (detect, reset) in seconds of every rule for each incident; -1 = never.

    All begin at second 0, after three days in which no request failed.
    """
    watch = Watch(known[0].rules, len(known), width_s=width_s, start_s=0)
    clean = np.arange(-3 * DAY_S, 0, width_s)
    watch.see(0, clean, np.zeros((len(known), len(clean)), dtype=np.int64), A_SECOND * width_s)
    bad = np.array([int(case.error_ratio * A_SECOND) for case in known])
    lengths = np.array([case.length_s for case in known])
    changed = np.full((2, len(watch.rules), len(known)), -1)
    before = 0
    for now in times:
        seconds = np.arange(before, now)
        failing = np.where(seconds < lengths[:, np.newaxis], bad[:, np.newaxis], 0)
        watch.see(now, seconds, failing, A_SECOND)
        fires = watch.firing(now)
        changed[0][fires & (changed[0] < 0)] = now
        over = ~fires & (changed[0] >= 0) & (changed[1] < 0)
        changed[1][over] = (now - lengths)[np.nonzero(over)[1]]
        before = now
    return [changed[:, :, group] for group in range(len(known))]


def spent_percent(case: Case, detect_s: int) -> float:
    """Return how much of the budget was spent when the alert came, by the workbook's formula."""
    seconds = OBJECTIVE.period_us // SECOND
    return float(case.error_ratio) * min(detect_s, case.length_s) / float(OBJECTIVE.budget) / seconds * 100


def differences(known: Sequence[Case], found: Sequence[np.ndarray]) -> dict[str, float]:
    """Return the greatest difference of any detection, reset and spent budget, and the fires that differ."""
    worst = {"detect_s": 0.0, "reset_s": 0.0, "spent_percent": 0.0, "fires": 0.0}
    for case, (detects, resets) in zip(known, found, strict=True):
        for at, detect in enumerate(case.detect_s):
            if detect is None or detects[at] < 0:
                worst["fires"] += (detect is None) != (detects[at] < 0)
                continue
            off = abs(spent_percent(case, int(detects[at])) - spent_percent(case, detect))
            worst["detect_s"] = max(worst["detect_s"], abs(float(detects[at]) - detect))
            worst["reset_s"] = max(worst["reset_s"], abs(float(resets[at]) - (case.reset_s[at] or 0)))
            worst["spent_percent"] = max(worst["spent_percent"], off)
    return worst


APPROACHES = {
    "1": [Rule.of(1, ["10m"], "1")],
    "2": [Rule.of(2, ["36h"], "1")],
    "3": [Rule.of(3, ["1m"], "1", wait="1h")],
    "4": [Rule.of(4, ["1h"], "36")],
    "5 page": [Rule.of(5, ["1h"], "14.4"), Rule.of(5, ["6h"], "6")],
    "5 ticket": [Rule.of(5, ["3d"], "1")],
    "6 page": [Rule.of(6, ["1h", "5m"], "14.4"), Rule.of(6, ["6h", "30m"], "6")],
    "6 ticket": [Rule.of(6, ["1d", "2h"], "3"), Rule.of(6, ["3d", "6h"], "1")],
}
REFERENCE = {
    "1": (0.63, 0.95), "2": (1.00, 0.82), "3": (0.86, 0.70), "4": (1.00, 0.56),
    "5 page": (1.00, 0.82), "5 ticket": (0.94, 1.00), "6 page": (1.00, 0.82), "6 ticket": (0.94, 1.00),
}  # fmt: skip


ORDERS = {
    "all ratios, then all lengths": lambda draws: (draws[:2_000], draws[2_000:]),
    "each ratio with its length": lambda draws: (draws[0::2], draws[1::2]),
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """Incidents: the share of requests that fail, and for how many minutes."""

    ratio: np.ndarray
    minutes: np.ndarray

    @classmethod
    def of(cls, count: int, order: str) -> Drawn:
        """Return the first so many of the 2,000 incidents of seed 42, drawn in one of `ORDERS`."""
        of_ratio, of_length = ORDERS[order](np.random.default_rng(42).random(4_000))
        ratio = np.exp((1 - of_ratio) * np.log(BACKGROUND))
        minutes = np.round(np.exp(of_length * np.log(3 * DAY_S / 60)))
        return cls(ratio[:count], minutes.astype(np.int64)[:count])

    def spent(self, minutes: np.ndarray) -> np.ndarray:
        """Return the share of the budget that the incidents spend in their first so many minutes."""
        failed = self.ratio * np.minimum(minutes, self.minutes)
        return failed / float(OBJECTIVE.budget) / (OBJECTIVE.period_us / SECOND / 60)


def detections(drawn: Drawn) -> tuple[np.ndarray, np.ndarray]:
    """Return the minute in which each approach first fires and the one after which it no longer does."""
    rules = [rule for approach in APPROACHES.values() for rule in approach]
    watch = Watch(rules, len(drawn.ratio), width_s=60, start_s=0)
    quiet = round(BACKGROUND * A_MINUTE)
    for start in range(-3 * 1_440, 0, 360):
        hours = np.arange(start, start + 360)
        failing = np.full((len(drawn.ratio), len(hours)), quiet)
        watch.see(0, hours * 60, failing, A_MINUTE)
    bad = np.round(drawn.ratio * A_MINUTE).astype(np.int64)
    first = np.full((len(APPROACHES), len(drawn.ratio)), -1)
    last = first.copy()
    for minute in range(6 * 1_440 + 10):
        failing = np.where(minute < drawn.minutes, bad, quiet)[:, np.newaxis]
        watch.see((minute + 1) * 60, np.array([minute * 60]), failing, A_MINUTE)
        fires = np.stack(list(_by_approach(watch.firing((minute + 1) * 60))))
        first[fires & (first < 0)] = minute + 1
        last[fires] = minute + 1
    return first, last


def _by_approach(fires: np.ndarray) -> Iterator[np.ndarray]:
    at = 0
    for rules in APPROACHES.values():
        yield fires[at : at + len(rules)].any(axis=0)
        at += len(rules)


def judged(drawn: Drawn, first: np.ndarray, last: np.ndarray) -> dict[str, dict[str, object]]:
    """Return precision, recall and the medians of each approach, beside the reference's two."""
    told = {}
    for at, name in enumerate(APPROACHES):
        fired = first[at] >= 0
        matters = drawn.spent(drawn.minutes) >= (0.10 if "ticket" in name else 0.02)
        told[name] = {
            "precision": round(float((fired & matters).sum() / fired.sum()), 3),
            "recall": round(float((fired & matters).sum() / matters.sum()), 3),
            "reference": REFERENCE[name],
            "median_detect_minutes": float(np.median(first[at][fired])),
            "median_reset_minutes": float(np.median(np.maximum(last[at] + 1 - drawn.minutes, 0)[fired])),
            "median_spent_percent": round(float(np.median(drawn.spent(first[at])[fired])) * 100, 2),
        }
    return told


def worst(told: dict[str, dict[str, object]]) -> float:
    """Return the greatest difference of a precision or recall from the table, which has two decimals."""
    return max(
        abs(round(each[name], 2) - figure)
        for each in told.values()
        for name, figure in zip(("precision", "recall"), each["reference"], strict=True)
    )


def main() -> None:
    """Play both parts, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--incidents", type=int, default=2_000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    known = cases()
    seconds = sorted({*range(1, 2 * 3_600 + 600), *instants(known, step_s=1, around_s=120, coarse_s=60)})
    every = instants(known, step_s=EVALUATION_S, around_s=600, coarse_s=60)
    figures: dict[str, object] = {
        "buckets of 1 s, worst difference": differences(known, played(known, seconds, width_s=1)),
        "buckets of 60 s, worst difference": differences(known, played(known, every, width_s=60)),
        "incidents": given.incidents,
    }
    for order in ORDERS:
        drawn = Drawn.of(given.incidents, order)
        told = judged(drawn, *detections(drawn))
        figures[order] = {"worst difference": round(worst(told), 2), "approaches": told}
    tell(figures, given.out)


if __name__ == "__main__":
    main()
