"""Charts say what the facts say: nothing counted twice, a gap is a gap, nothing is not zero."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dashboards.figures.template import templates
from service.views import cost, evidence, gpus, overview, requests
from service.views.asking import counted, gapless
from telemetry.identity import Vantage
from telemetry.requests import Status
from telemetry.units import MICROS_PER_SECOND as S


def known(values):
    return [value for value in values if value is not None]


def book(story, **changed):
    models = {gpu.uuid: gpu.model for gpu in story.gpus}
    return cost.Book(
        **{"ledger_version": "1", "interval_us": 10 * S, "prices": story.prices, "models": models, **changed}
    )


def test_every_figure_is_filled_with_columns_that_its_view_gives(story):
    question = story.asked()
    given = {
        "demand": overview.charts(story.facts, question)["demand"],
        "latency": requests.charts(story.facts, question)["ttft"],
        **{name: requests.charts(story.facts, question)[name] for name in ("gaps", "outcome", "knee")},
        **gpus.charts(story.facts, question),
        **cost.charts(story.facts, question, book(story)),
        "evidence": evidence.samples(story.facts, question, replicas=["x"], gpus=["y"]),
    }
    for name, columns in given.items():
        template = templates()[name]
        rows = columns["series"] if template.per else [columns]
        assert rows
        for row in rows:
            assert template.columns <= row.keys(), name
    elsewhere = {"good_share", "budget", "trial"}
    assert templates().keys() == given.keys() | elsewhere


def test_every_request_that_ended_is_in_the_outcome_chart_once(story):
    columns = requests.charts(story.facts, replace(story.asked(), now_us=story.now_us + 60 * S))["outcome"]
    for status in Status:
        truth = sum(request.status is status for request in story.run.requests)
        assert sum(known(columns[status.value])) == truth


def test_arrivals_count_what_is_still_under_way(story):
    question = replace(story.asked(), now_us=story.now_us + 60 * S)
    arrived = overview.charts(story.facts, question)["demand"]["arrived"]
    every = len(story.run.requests) + len(story.run.unfinished)
    assert sum(known(arrived)) * question.width_us / S == pytest.approx(every)


def test_before_anybody_watched_there_is_no_zero(story):
    question = story.asked("15m")
    columns = overview.charts(story.facts, question)["demand"]
    watched = [at * 1_000 >= story.start_us - question.width_us for at in columns["at"]]
    assert not any(watched[:100])
    for name in ("arrived", "finished", "waiting", "running"):
        assert columns[name][:100] == [None] * 100, name
    assert 0 in columns["waiting"]


def test_the_newest_buckets_are_left_out_while_they_fill(story):
    question = story.asked("5m")
    filling = requests.charts(story.facts, question)["outcome"]["ok"]
    settled = requests.charts(story.facts, replace(question, now_us=question.now_us + 60 * S))["outcome"][
        "ok"
    ]
    assert len(known(settled)) > len(known(filling))
    assert filling[-2:] == [None] * 2


def test_a_watched_bucket_without_an_event_is_zero(story):
    question = replace(story.asked("5m"), now_us=story.now_us + 60 * S)
    starts = list(question.starts)
    found = counted({"at": [starts[2]], "n": [7]}, question, {starts[1], starts[2], starts[3]})
    assert found["n"][:5] == [None, 0, 7, 0, None]


def test_gaps_stay_where_nothing_was_measured(story):
    question = story.asked("5m")
    starts = list(question.starts)
    filled = gapless({"at": [starts[1]], "v": [0.5]}, question)
    assert len(filled["at"]) == len(starts)
    assert filled["v"][:3] == [None, 0.5, None]


def test_the_tokens_of_the_evidence_add_up_to_the_growth_of_the_counters(story):
    replicas = sorted({sample.replica for sample in story.run.engines})
    question = evidence.around(story.asked(), story.start_us, story.start_us + 120 * S, margin_us=0)
    columns = evidence.samples(story.facts, question, replicas=replicas, gpus=None)
    told = sum(known(columns["tokens"])) * question.width_us / S
    truth = 0
    for replica in replicas:
        counters = [s.generation_tokens_total for s in story.run.engines if s.replica == replica]
        truth += counters[-1] - counters[0]
    assert told == pytest.approx(truth, rel=0.03)  # the first bucket has nothing before it
    assert known(columns["sm"])


def test_the_period_before_falls_on_the_same_places(story):
    question = story.asked("5m")
    before = question.before()
    assert len(before.starts) == len(question.starts)
    assert [at + question.shift_us for at in before.starts] == list(question.starts)


def test_requests_seen_from_two_places_count_once(own_story):
    truth = sum(r.status is Status.OK for r in own_story.run.requests)
    spans = [replace(r, vantage=Vantage.SPAN) for r in own_story.run.requests]
    own_story.store("requests", spans)
    late = replace(own_story.asked(), now_us=own_story.now_us + 60 * S)

    def ok(question):
        return sum(known(requests.charts(own_story.facts, question)["outcome"]["ok"]))

    assert ok(late) == truth
    pools = {r.pool: Vantage.SPAN for r in own_story.run.requests}
    assert ok(replace(late, vantages=pools)) == truth
    own_story.store("requests", [replace(r, synthetic=True) for r in own_story.run.requests[:9]])
    assert ok(late) == truth


def test_the_ledger_over_time_is_the_price_of_the_fleet(story):
    series = cost.charts(story.facts, story.asked("5m"), book(story))["ledger"]["series"]
    at_once = {}
    for one in series:
        for at, amount in zip(one["at"], one["amount"], strict=True):
            at_once[at] = at_once.get(at, 0) + amount
    assert len(at_once) == 12
    assert all(amount == pytest.approx(8 * 2.95, rel=1e-6) for amount in at_once.values())


def test_the_heat_holds_every_request_with_a_first_token(story):
    columns = requests.charts(story.facts, story.asked("5m"))["ttft"]
    inside = sum(count or 0 for line in columns["heat"] for count in line)
    assert inside == sum(request.ttft_us is not None for request in story.run.requests)
    assert len(columns["edges"]) == len(columns["at"]) + 1
    assert len(columns["levels"]) == len(columns["heat"]) + 1
