"""An objective of each indicator, from a YAML file to counts, equals a recount in plain Python.

The oracle below reads one record at a time and knows the rules from docs/indicators.md; it
shares no code with what it checks.
"""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction

import pytest

from service.counting.counts import ObjectiveCounts, backfill
from service.counting.fold import READER as FOLD
from service.counting.fold import Fold, columns_of
from service.counting.sightings import Sightings
from service.live import LiveWindow
from service.objectives.files import parse
from service.own_metrics import Tally
from service.writer import Writer
from slo.indicators import indicators
from telemetry.identity import Vantage
from telemetry.requests import RequestRecord, Status

MINUTE = 60_000_000
EDGES = [1_000 << power for power in range(15)]

# name: (spec, unit of the total)
OBJECTIVES = {
    "availability": ("indicator: availability, patience: 3s", "requests"),
    "cache-hits": ("indicator: cache_hits", "tokens"),
    "dependency": ("indicator: dependency, limit: 300ms", "requests"),
    "tools": ("indicator: dependency, limit: 300ms, of: tool_call", "requests"),
    "determinism": ("indicator: determinism", "probes"),
    "e2e": ("indicator: e2e, limit: 8s", "requests"),
    "empty-output": ("indicator: empty_output", "requests"),
    "engine-absence": ("indicator: engine_absence", "samples"),
    "engine-threshold": ("indicator: engine_threshold, column: requests_waiting, value: 3.5", "samples"),
    "goodput": ("indicator: goodput, ttft: 2s, tpot: 100ms, e2e: 9s", "requests"),
    "goodput-aiperf": ("indicator: goodput, ttft: 2s, tpot: 100ms, semantics: aiperf", "requests"),
    "engine-predicate": ("indicator: engine_predicate, holds: requests_waiting < 4, among: up", "samples"),
    "gpu-absence": ("indicator: gpu_absence", "samples"),
    "gpu-predicate": ("indicator: gpu_predicate, holds: power_watts / 2 < 125 or not up", "samples"),
    "gpu-threshold": ("indicator: gpu_threshold, column: power_watts, op: gt, value: 250", "samples"),
    "itl": ("indicator: itl, limit: 64ms", "gaps"),
    "itl-between": ("indicator: itl, limit: 100ms", "gaps"),
    "itl-good": ("indicator: itl, limit: 100ms, unsure: good", "gaps"),
    "itl-bad": ("indicator: itl, limit: 100ms, unsure: bad", "gaps"),
    "predicate": (
        "indicator: predicate, holds: \"ttft_us / prompt_tokens < 4000 or finish == 'length'\", among: not stream or ttft_us is not None",
        "requests",
    ),
    "queue": ("indicator: queue, limit: 500ms", "requests"),
    "retries": ("indicator: retries", "requests"),
    "token-availability": ("indicator: token_availability, failure_tokens: 50", "tokens"),
    "token-goodput": ("indicator: token_goodput, ttft: 2s, tpot: 100ms", "tokens"),
    "token-goodput-aiperf": ("indicator: token_goodput, ttft: 2s, tpot: 100ms, semantics: aiperf", "tokens"),
    "token-deadlines": ("indicator: token_deadlines, first: 1s, next: 60ms", "deadlines"),
    "token-deadlines-coded": ("indicator: token_deadlines, first: 1s, next: 60ms, reading: coded", "deadlines"),
    "tpot": ("indicator: tpot, limit: 100ms", "requests"),
    "truncation": ("indicator: truncation", "requests"),
    "ttft": ("indicator: ttft, limit: 2s", "requests"),
    "ttft-by-prompt": ("indicator: ttft_by_prompt, base: 500ms, each: 1s, per: 300", "requests"),
}  # fmt: skip


def document(name, spec, unit):
    by = "gpu_model" if "gpu_" in spec else "model"
    return f"""\
apiVersion: openslo/v1
kind: SLO
metadata: {{name: {name}}}
spec:
  service: all
  indicator:
    metadata: {{name: {name}}}
    spec:
      ratioMetric:
        counter: true
        good: {{metricSource: {{type: inferometer, spec: {{{spec}, group_by: [{by}]}}}}}}
        total: {{metricSource: {{type: inferometer, spec: {{indicator: {unit}}}}}}}
  timeWindow: [{{duration: 30d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{target: 0.99}}]
"""


# The oracle: (good, total) of one record, or None where it does not count.


def outcome(record, kept, broken):
    """Apply the rules of all indicators of requests to whether a promise was kept or broken."""
    if not answerable(record):
        return None
    if record.status == Status.ERROR or broken:
        return 0, 1
    return (1, 1) if kept else None


def answerable(record):
    mistaken = record.http_status is not None and 400 <= record.http_status < 500
    return not record.synthetic and not (mistaken and record.http_status not in (408, 429))


def in_vain(record, limit_us):
    watched = record.stream and record.vantage == Vantage.EDGE
    gone = record.status == Status.ABORTED and record.ttft_us is None
    return watched and gone and record.e2e_us > limit_us


def limited(value, limit_us):
    return (value is not None and value <= limit_us, value is not None and value > limit_us)


def ttft(record, limit_us):
    kept, broken = limited(record.ttft_us, limit_us)
    return kept, broken or in_vain(record, limit_us)


def tpot(record, limit_us):
    tokens = record.output_tokens
    if tokens is None or (record.ttft_us is None and tokens > 1):
        return False, False
    if record.status == Status.OK:
        pace = Fraction(record.e2e_us - record.ttft_us, tokens - 1) if tokens > 1 else 0
        return pace <= limit_us, pace > limit_us
    if record.status == Status.ABORTED and tokens >= 1 and record.ttft_us is not None:
        return False, Fraction(record.e2e_us - record.ttft_us, tokens) > limit_us
    return False, False


def e2e(record, limit_us):
    late = record.e2e_us > limit_us
    return not late and record.status == Status.OK, late


def joint(*parts):
    return all(kept for kept, _ in parts), any(broken for _, broken in parts)


def aiperf(record):
    whole = record.status == Status.OK and record.ttft_us is not None and (record.output_tokens or 0) > 1
    good = whole and joint(ttft(record, 2_000_000), tpot(record, 100_000))[0]
    return good, not good


def by_prompt(record):
    def within(value):
        if record.prompt_tokens is None:
            return value <= 500_000, False
        late = value > 500_000 + Fraction(1_000_000 * record.prompt_tokens, 300)
        return not late, late

    if record.ttft_us is not None:
        return within(record.ttft_us)
    return False, in_vain(record, 0) and within(record.e2e_us)[1]


def truncation(record):
    ended = record.status == Status.OK
    return ended and record.finish in (
        "stop",
        "tool_calls",
        "content_filter",
    ), ended and record.finish == "length"


def emptiness(record):
    if record.status != Status.OK:
        return False, False
    if record.tool_calls:
        return True, False
    empty = record.output_empty or record.output_tokens == 0
    return record.output_empty is False and not empty, bool(empty)


def weighed(record, verdict):
    if verdict is None:
        return None
    given = record.output_tokens or 0
    weight = given if record.status != Status.ERROR else max(given, 50)
    return verdict[0] * weight, verdict[1] * weight


def token_goodput(record, verdict):
    given = record.output_tokens or 0
    weight = given if record.status != Status.ERROR else max(given, 1)
    return verdict and (verdict[0] * weight, verdict[1] * weight)


def hits(record):
    if not answerable(record) or record.prompt_tokens is None or record.cached_tokens is None:
        return None
    return min(record.cached_tokens, record.prompt_tokens), record.prompt_tokens


def itl(record, limit_us, unsure="uncounted"):
    if not answerable(record):
        return None
    counts = list(record.gap_buckets)
    if record.status == Status.ERROR:
        return 0, max(sum(counts), 1)
    good = bad = unknown = 0
    largest = max((at for at, count in enumerate(counts) if count), default=None)
    for at, count in enumerate(counts):
        low = 0 if at == 0 else EDGES[at - 1]
        high = EDGES[at] if at < 15 else float("inf")
        if high <= limit_us:
            good += count
        elif low >= limit_us:
            bad += count
        elif record.gap_max_us is not None and at == largest:
            over = int(record.gap_max_us > limit_us)
            bad += over
            good += 0 if over else count
            unknown += count - 1 if over else 0
        else:
            unknown += count
    return good + unknown * (unsure == "good"), good + bad + unknown * (unsure != "uncounted")


def deadlines(record, *, coded):
    left = good = total = 0
    steps = [(record.ttft_us, 1_000_000)] + [(gap, 60_000) for gap in record.gaps_us]
    for at, (took, due) in enumerate(steps):
        if took is None:
            continue
        if took <= due + left:
            left += due - took
            good, total = good + 1, total + 1
            continue
        missed = (took - left) // 60_000 if at else 1 + (took - left - due) // 60_000
        total += missed if coded else 1
        left = 0
    return good, total


def predicate(record):
    if record.synthetic or (record.stream and record.ttft_us is None):
        return None
    if record.finish == "length":
        return 1, 1
    if record.ttft_us is None or not record.prompt_tokens or record.finish is None:
        slow = (
            record.ttft_us is not None
            and record.prompt_tokens
            and record.ttft_us / record.prompt_tokens < 4000
        )
        return (1, 1) if slow else None
    return int(record.ttft_us / record.prompt_tokens < 4000), 1


def determinism(record):
    if not record.synthetic or record.workload != "determinism" or record.status != Status.OK:
        return None
    return int(record.error_class != "other_answer"), 1


def held(value, good):
    return None if value is None else (int(good), 1)


ORACLE = {
    "availability": lambda r: outcome(r, r.status == Status.OK, in_vain(r, 3_000_000) or (r.stream and (r.ttft_us or 0) > 3_000_000)),
    "cache-hits": hits,
    "dependency": lambda r: outcome(r, *limited(r.dependency_us, 300_000)),
    "tools": lambda r: outcome(r, *limited(r.tool_call_us, 300_000)),
    "determinism": determinism,
    "e2e": lambda r: outcome(r, *e2e(r, 8_000_000)),
    "empty-output": lambda r: outcome(r, *emptiness(r)),
    "engine-absence": lambda r: (int(r.up), 1) if r.vantage == Vantage.ENGINE else None,
    "engine-threshold": lambda r: held(r.requests_waiting, (r.requests_waiting or 0) <= 3.5) if r.vantage == Vantage.ENGINE else None,
    "goodput": lambda r: outcome(r, *joint(ttft(r, 2_000_000), tpot(r, 100_000), e2e(r, 9_000_000))),
    "goodput-aiperf": lambda r: outcome(r, *aiperf(r)),
    "engine-predicate": lambda r: held(r.requests_waiting, (r.requests_waiting or 0) < 4) if r.up and r.vantage == Vantage.ENGINE else None,
    "gpu-absence": lambda r: (int(r.up), 1),
    "gpu-predicate": lambda r: held(r.power_watts, (r.power_watts or 0) < 250) if r.up else (1, 1),
    "gpu-threshold": lambda r: held(r.power_watts, (r.power_watts or 0) > 250),
    "itl": lambda r: itl(r, 64_000),
    "itl-between": lambda r: itl(r, 100_000),
    "itl-good": lambda r: itl(r, 100_000, "good"),
    "itl-bad": lambda r: itl(r, 100_000, "bad"),
    "predicate": predicate,
    "queue": lambda r: outcome(r, *limited(r.queue_us, 500_000)),
    "retries": lambda r: (int(r.retry == 0), 1) if answerable(r) else None,
    "token-availability": lambda r: weighed(r, outcome(r, r.status == Status.OK, broken=False)),
    "token-goodput": lambda r: token_goodput(r, outcome(r, *joint(ttft(r, 2_000_000), tpot(r, 100_000)))),
    "token-goodput-aiperf": lambda r: token_goodput(r, outcome(r, *aiperf(r))),
    "token-deadlines": lambda r: deadlines(r, coded=False),
    "token-deadlines-coded": lambda r: deadlines(r, coded=True),
    "tpot": lambda r: outcome(r, *tpot(r, 100_000)),
    "truncation": lambda r: outcome(r, *truncation(r)),
    "ttft": lambda r: outcome(r, *ttft(r, 2_000_000)),
    "ttft-by-prompt": lambda r: outcome(r, *by_prompt(r)),
}  # fmt: skip


@pytest.fixture(scope="module")
def objectives():
    return parse("---\n".join(document(name, *each) for name, each in OBJECTIVES.items()), "all.yaml")


def recount(batches, objective):
    """Return (good, total) by group and minute, record by record."""
    good, total = Counter(), Counter()
    (column,) = objective.group_by
    for record in (each for batch in batches for each in batch.get(objective.indicator.table, ())):
        if isinstance(record, RequestRecord) and record.vantage != Vantage.EDGE:
            continue
        time_us = record.ended_at_us if hasattr(record, "ended_at_us") else record.at_us
        cell = (getattr(record, column) or "__unknown__",), time_us // MINUTE
        verdict = ORACLE[objective.name](record)
        if verdict and verdict[1]:
            good[cell] += verdict[0]
            total[cell] += verdict[1]
    return {cell: (good[cell], total[cell]) for cell in total}


def as_dict(cells):
    rows = zip(cells.group, cells.bucket, cells.good.tolist(), cells.total.tolist(), strict=True)
    return {(cells.keys[group], int(bucket)): (good, total) for group, bucket, good, total in rows}


class Kept(dict):
    """Cells as the facts store would keep them, by version."""

    def write(self, version, _width_us, cells, _upto):
        self[version] = self.get(version, {}) | as_dict(cells)


class Notes(dict):
    def set(self, values):
        self.update(values)


def folding(journal, objectives, cells, now_us):
    return Fold(
        journal,
        LiveWindow(),
        [ObjectiveCounts(each, now_us=now_us, group_cap=100) for each in objectives],
        cells=cells,
        sightings=Sightings(Notes(), journal.cursor(FOLD)),
        tally=Tally(),
        clock=lambda: now_us,
        vantages={},
    )


@pytest.mark.parametrize("seed", range(6))
def test_what_the_fold_counts_equals_a_recount(journal_of, objectives, history_of, now_us, seed):
    batches, cells = history_of(random.Random(seed)), Kept()
    fold = folding(journal_of(batches), objectives, cells, now_us)
    while fold.step():
        pass
    fold.flush()
    for objective in objectives:
        assert cells[objective.version] == recount(batches, objective), objective.name


def test_what_is_counted_from_stored_rows_equals_a_recount(journal_of, objectives, history_of, facts, now_us):
    batches = history_of(random.Random(99))
    journal = journal_of(batches)
    Writer(journal, facts).drain()
    of_record = folding(journal, (), Kept(), now_us).of_record

    def rows(objective, start, end):
        table = objective.indicator.table
        columns = columns_of([objective])[table]
        return of_record(facts.frame(table, from_us=start, to_us=end, columns=columns))

    for objective in objectives:
        counted = backfill(objective, rows, now_us - 10 * MINUTE, now_us + MINUTE)
        assert as_dict(counted) == recount(batches, objective), objective.name


def test_every_indicator_is_among_them(objectives):
    assert {each.indicator.kind for each in objectives} == set(indicators())


def test_every_oracle_sees_good_and_bad(objectives, history_of):
    """A recount of nothing would agree with anything."""
    for objective in objectives:
        sums = [recount(history_of(random.Random(seed)), objective) for seed in range(3)]
        good, total = (sum(cell[at] for each in sums for cell in each.values()) for at in (0, 1))
        assert 0 < good < total, objective.name
