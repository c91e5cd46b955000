"""The alerts page: links in messages lead to the finding, what nobody was told is said aloud."""

from __future__ import annotations

import pytest

from alerts.ports import Outcome, Result
from alerts.routing import Route
from anomalies.finding import Finding, Series, as_condition
from service.alerting.evaluator import KnownFinding, finding_id
from service.alerting.finding_rows import FindingStore
from service.alerting.transitions import Alerting
from service.store.migrate import upgrade_state
from service.store.state import State
from service.views import alerts as view
from service.views.sentences import Tone
from telemetry.condition import Condition, Holds, Severity
from telemetry.units import MICROS_PER_SECOND as S

ROUTE = (Route(receiver="oncall"),)


@pytest.fixture
def state(tmp_path):
    url = f"sqlite:///{tmp_path}/state.db"
    upgrade_state(url)
    store = State.open(url)
    yield store
    store.close()


@pytest.fixture
def wedge(story):
    """Return a finding about a replica of the story, over."""
    replica = "chat-1"
    held = tuple(p.gpu_uuid for p in story.run.placements if p.replica == replica)
    replica = replica if held else story.run.placements[0].replica
    held = held or tuple(p.gpu_uuid for p in story.run.placements if p.replica == replica)
    return Finding(
        class_id="A1",
        subject=replica,
        severity=Severity.PAGE,
        cause="it admits nothing",
        replicas=(replica,),
        pool="chat",
        model="m",
        gpus=held,
        idle_gpus=held,
        start_us=story.start_us + 15 * S,
        end_us=story.start_us + 75 * S,
        evidence=(Series("waiting", replica, ((story.start_us, 1.0),)),),
        score=0.75,
        runner_up="A2",
    )


@pytest.fixture
def alerted(story, state, wedge):
    """Return the alerting that noticed the finding and an objective, told, and saw the finding end."""
    known = KnownFinding(id=finding_id(wedge), finding=wedge, cost_nano=5)
    FindingStore(state.findings, story.facts.evidence, lambda: story.now_us).save_findings(
        [known], story.now_us
    )
    alerting = Alerting(state.alerts)
    burn = Condition(
        name="ttft",
        labels={"objective": "ttft", "severity": "page", "tenant": "acme", "model": "m"},
        severity=Severity.PAGE,
        holds=Holds.YES,
        since_us=story.start_us,
        annotations={"summary": "TTFT burns"},
    )
    alerting.round([as_condition(wedge, Holds.YES), burn], ROUTE, story.start_us + 20 * S)
    alerting.round([as_condition(wedge, Holds.NO), burn], ROUTE, story.start_us + 80 * S)
    return alerting


def _of(alerting, name):
    return next(alert for alert in alerting.standing if alert.name == name)


def test_a_link_in_a_message_leads_to_the_finding_and_its_samples(story, state, wedge, alerted):
    question = story.asked(incident=_of(alerted, "A1").incident)
    told = view.selected(story.facts, state.findings, state.alerts, question)
    assert told["id"] == finding_id(wedge)
    assert [step["what"] for step in told["timeline"]] == [
        "first bad sample",
        "alert firing",
        "last bad sample",
        "alert resolved",
    ]
    waiting = [value for value in told["evidence"]["waiting"] if value is not None]
    assert waiting
    assert (told["title"], told["runner_up"]) == ("A1 admission deadlock", "A2 live hang")


def test_a_finding_is_found_by_its_own_id_long_after_its_range(story, state, wedge):
    known = KnownFinding(id="a1-x", finding=wedge, cost_nano=None)
    FindingStore(state.findings, story.facts.evidence, lambda: 1).save_findings([known], 1)
    question = story.asked("5m", finding="a1-x", to="2020-01-01T00:00:00Z")
    told = view.selected(story.facts, state.findings, state.alerts, question)
    assert told["id"] == "a1-x"
    assert view.finding_rows(state.findings, question) == []


def test_a_link_to_an_objectives_alert_names_the_group_that_burns(story, state, alerted):
    question = story.asked(incident=_of(alerted, "ttft").incident)
    told = view.named(state.alerts, alerted.standing, question, group_by={"ttft": ("model", "tenant")})
    assert (told["objective"], told["group"], told["state"]) == ("ttft", "m / acme", "firing")
    assert view.selected(story.facts, state.findings, state.alerts, question) is None


@pytest.mark.parametrize("filters", [{"incident": "none"}, {"finding": "none"}, {}])
def test_an_unknown_link_leads_to_nothing(story, state, filters):
    question = story.asked(**filters)
    assert view.selected(story.facts, state.findings, state.alerts, question) is None
    assert view.named(state.alerts, (), question, group_by={}) is None


def test_what_fires_comes_first_and_by_page_before_by_ticket(alerted):
    rows = view.alert_rows(alerted.standing)
    assert [(row["name"], row["state"]) for row in rows] == [("ttft", "firing"), ("A1", "resolved")]


def test_the_page_says_whether_anybody_was_told(story, state, alerted):
    sent = state.notifications.listed()
    opening = view.opening(alerted.standing, sent, story.asked(), receivers=1)
    texts = [sentence.text for sentence in opening.sentences]
    assert opening.tone is Tone.BAD
    assert texts[0] == "1 alert fires, 1 by page."
    assert texts[1].endswith("to oncall, is on its way.")


def test_a_message_that_nobody_got_is_said_aloud(story, state, alerted):
    claim = state.notifications.claim(story.now_us, "w", lease_us=S)
    state.notifications.finish(
        claim, Result(outcome=Outcome.DEAD, at_us=story.now_us, detail="gone", status=None)
    )
    opening = view.opening((), state.notifications.listed(), story.asked(), receivers=1)
    assert opening.tone is Tone.BAD
    assert "1 message could not be delivered: see below." in [s.text for s in opening.sentences]


def test_nobody_to_tell_is_a_warning(story):
    opening = view.opening((), [], story.asked(), receivers=0)
    assert opening.tone is Tone.WARN
    assert opening.sentences[-1].text == "Nobody would be told: no receiver is set."
