"""Promises as rows and one of them in detail: as the verdicts have it, least budget left first."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import numpy as np
import pytest

from service.alerting.evaluator import Evaluation
from service.counting.cell_store import CellStore
from service.views import objectives as view
from service.views import promises, spenders
from service.views.sentences import Tone
from slo.burn import YES
from slo.cells import Cells, fold
from slo.evaluate import judge
from slo.indicators.gpu_threshold import GpuThreshold
from slo.objective import Objective
from slo.ring import Ring
from telemetry.requests import InFlightRequest

MINUTE = 60_000_000


@pytest.fixture(scope="module")
def judgements(story, objectives):
    """Return the story judged by two promises."""
    found = []
    for objective in objectives:
        ring = Ring(windows_us=objective.windows_us, now_us=story.now_us, group_cap=100)
        ring.add(fold(story.frame("requests"), objective))
        ring.advance(story.now_us)
        found.append(judge(objective, ring.counts()))
    return tuple(found)


@pytest.fixture(scope="module")
def detail(story, objectives, judgements):
    """Return a maker of one objective's detail; its cells are stored."""
    cells = CellStore(story.facts.cells, clock=lambda: story.now_us)
    for objective in objectives:
        cells.write(objective.version, MINUTE, fold(story.frame("requests"), objective), upto=1)

    def make(**filters):
        question = story.asked(**filters)
        one = view.chosen(judgements, question)
        told = view.detailed(story.facts, question, one)
        return told | view.charts(story.facts, question, one)

    return make


def known(values):
    return [value for value in values if value is not None]


def test_rows_come_by_budget_left_and_say_what_the_verdict_says(judgements):
    rows = promises.rows(judgements)
    left = [row["budget_left"] for row in rows]
    assert left == sorted(left)
    assert len(rows) == sum(len(each.counts.keys) for each in judgements)
    verdicts = {
        (j.objective.name, " / ".join(v.group)): v
        for j in judgements
        for v in map(j.verdict, range(len(j.counts.keys)))
    }
    for row in rows:
        verdict = verdicts[row["objective"], row["group"]]
        assert row["budget_left"] == float(verdict.budget_remaining)
        assert (row["good"], row["total"]) == (verdict.windows[-1].good, verdict.windows[-1].total)


def test_only_as_many_rows_as_are_shown(judgements):
    assert promises.rows(judgements, 2) == promises.rows(judgements)[:2]
    assert promises.rows([]) == []


def test_the_tally_counts_what_the_rows_show(judgements):
    rows, tally = promises.rows(judgements), promises.tally(judgements)
    states = Counter(row["state"] for row in rows)
    assert tally.promises == len(rows)
    assert tally.burning == states["page"] + states["ticket"]
    assert tally.overspent == sum(row["budget_left"] < 0 for row in rows)
    assert tally.unknown == 0
    assert tally.tone is Tone.BAD


def test_a_group_without_traffic_has_no_data_and_comes_last(objectives, story):
    ring = Ring(windows_us=objectives[0].windows_us, now_us=story.now_us, group_cap=10)
    old, new = (story.now_us // MINUTE - minutes for minutes in (40 * 1440, 1))
    one = np.ones(1, dtype=np.int64)
    for key, bucket in ((("m", "gone"), old), (("m", "here"), new)):
        ring.add(Cells.of([key], group=np.zeros(1, dtype=np.int64), bucket=one * bucket, good=one, total=one))
    ring.advance(story.now_us)
    judgement = judge(objectives[0], ring.counts())
    rows = promises.rows([judgement])
    assert [row["state"] for row in rows] == ["ok", "no data"][: len(rows)]
    assert promises.tally([judgement]).unknown == len(rows) - 1


def test_one_group_is_drawn_from_its_own_cells(story, detail):
    told = detail(name="ttft", group="sim-qwen-32b / acme")
    own = [r for r in story.run.requests if (r.model, r.tenant) == ("sim-qwen-32b", "acme")]
    served = [r for r in own if r.status != "aborted"]
    assert sum(known(told["good_share"]["total"])) == len(served)
    late = sum(r.ttft_us is None or r.ttft_us > 2_000_000 for r in served)
    assert sum(known(told["good_share"]["bad"])) == late
    assert len(told["pairs"]) == 4
    assert told["group"] == "sim-qwen-32b / acme"


def test_without_a_group_all_are_drawn_together(story, detail):
    told = detail(name="availability")
    assert sum(known(told["good_share"]["total"])) == sum(r.status != "aborted" for r in story.run.requests)
    assert told["group"] is None


def test_without_a_group_each_pair_is_told_of_the_one_that_burns_it_fastest(judgements, detail):
    pairs = detail(name="ttft")["pairs"]
    judgement = next(each for each in judgements if each.objective.name == "ttft")
    verdicts = [judgement.verdict(group) for group in range(len(judgement.counts.keys))]
    assert len(pairs) == len(judgement.objective.alerts.pairs)
    for at, (told, pair) in enumerate(zip(pairs, judgement.objective.alerts.pairs, strict=True)):
        slower = {
            " / ".join(each.group): min(
                float(each.window(window).burn or 0) for window in (pair.long_us, pair.short_us)
            )
            for each in verdicts
        }
        assert slower[told["group"]] == max(slower.values())
        assert (told["fires"], told["groups"]) == ((judgement.answers[at] == YES).sum(), len(verdicts))
    assert pairs[0]["fires"] > 0


def test_the_budget_ends_where_the_verdict_says(judgements, detail):
    told = detail(name="ttft", group="sim-qwen-32b / hooli")
    row = next(
        r for r in promises.rows(judgements) if (r["objective"], r["group"]) == ("ttft", told["group"])
    )
    last = told["budget"]["left"][-1] + told["budget"]["over"][-1]
    assert last == pytest.approx(row["budget_left"])


def test_the_budget_only_falls_by_what_each_minute_spent_from_the_first_on(detail):
    told = detail(name="ttft", group="sim-qwen-32b / hooli")
    budget = told["budget"]
    left = [sum(each) for each in zip(budget["left"], budget["over"], strict=True)]
    assert len(left) > 1, "a service of some minutes has a line, not a point"
    assert left == sorted(left, reverse=True) and left[0] == 1
    bad = {
        at: bad for at, bad in zip(told["good_share"]["at"], told["good_share"]["bad"], strict=True) if bad
    }
    fell = {at for at, before, after in zip(budget["at"], left, left[1:], strict=False) if after < before}
    assert fell == set(bad)


def test_each_party_is_told_by_itself_with_all_its_bad_requests(detail):
    told = detail(name="ttft")
    bad = sum(known(told["good_share"]["bad"]))
    by_party = {each["party"]: each["rows"] for each in told["spent_by_party"]}
    assert list(by_party) == ["tenant", "model", "replica", "status"]
    for party, rows in by_party.items():
        assert len(rows) <= spenders.MOST_OF_ONE
        assert [row["bad"] for row in rows] == sorted((row["bad"] for row in rows), reverse=True)
        assert sum(row["share"] for row in rows) == pytest.approx(1)
        assert sum(row["bad"] for row in rows) == bad, party


def test_spenders_are_told_by_replica_and_reason(detail):
    told = detail(name="ttft", group="sim-qwen-32b / acme")
    assert not told["spent_by_group"]
    assert {(s["tenant"], s["model"]) for s in told["spent"]} == {("acme", "sim-qwen-32b")}
    assert sum(s["share"] for s in told["spent"]) == pytest.approx(1)
    assert sum(s["bad"] for s in told["spent"]) == sum(known(told["good_share"]["bad"]))


def test_past_too_many_requests_groups_are_told(monkeypatch, detail):
    monkeypatch.setattr(spenders, "MOST_RAW_ROWS", 10)
    told = detail(name="ttft", group="sim-qwen-32b / acme")
    assert told["spent_by_group"]
    (spender,) = told["spent"]
    assert (spender["tenant"], spender["model"], spender["share"]) == ("acme", "sim-qwen-32b", 1)


def test_who_spent_a_budget_of_samples_is_told_by_host_and_gpu(story):
    promise = GpuThreshold("power_watts", Decimal(100))
    objective = Objective(name="power", indicator=promise, target=Decimal("0.99"), group_by=("host",))
    samples = story.frame("gpu_samples")
    ring = Ring(windows_us=objective.windows_us, now_us=story.now_us, group_cap=100)
    ring.add(fold(samples, objective))
    one = view.Chosen(judgement=judge(objective, ring.counts()), group=0)
    told = view.detailed(story.facts, story.asked(name="power"), one)
    watts = samples.numbers("power_watts")
    assert told["unit"] == "samples"
    assert told["spent_parties"] == ("host", "gpu_uuid", "gpu_model")
    assert sum(each["bad"] for each in told["spent"]) == (watts.valid & (watts.values > 100)).sum() > 0
    assert all(each["host"] and each["gpu_uuid"] for each in told["spent"])


def test_the_page_opens_with_the_promise_that_is_asked_for(story, judgements):
    evaluation = Evaluation(at_us=story.now_us, judgements=judgements)
    question = story.asked(name="ttft", group="sim-qwen-32b / acme")
    opening, body = view.view(evaluation, question, view.chosen(judgements, question), None)
    first = opening.sentences[0].text
    assert first.lower().startswith("ttft of sim-qwen-32b/acme: ")
    assert "overspent" in first
    assert {row["objective"] for row in body["objectives"]} == {"ttft"}


def test_an_objective_that_is_not_there_is_said_to_be_missing(story, judgements):
    question = story.asked(name="no-such")
    opening, _ = view.view(Evaluation(at_us=1, judgements=judgements), question, None, None)
    assert opening.sentences[0].text == "No objective is called 'no-such'."


def test_a_request_that_hangs_has_spent_its_share_before_it_ends(own_story, objectives):
    ttft = objectives[1]
    made = [
        InFlightRequest(
            request_id=f"hang-{number}",
            at_us=own_story.now_us - 2 * second,
            started_at_us=own_story.now_us - 30_000_000,
            tenant="acme",
            model="sim-qwen-32b",
            replica="stuck:1",
        )
        for number in range(3)
        for second in (1_000_000, 2_000_000)
    ]
    own_story.store("in_flight", made)
    ring = Ring(windows_us=ttft.windows_us, now_us=own_story.now_us, group_cap=10)
    one = view.Chosen(judgement=judge(ttft, ring.counts()), group=None)
    told = view.detailed(own_story.facts, own_story.asked(), one)
    row = next(each for each in told["spent"] if each["replica"] == "stuck:1")
    assert (row["bad"], row["status"]) == (3, spenders.UNDER_WAY)
