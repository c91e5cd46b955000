"""Objective files become objectives, exactly as written."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from service.objectives.files import parse, read, starter
from service.objectives.limits import limits
from service.objectives.words import duration
from slo.durations import MICROS_PER_DAY, written
from slo.errors import ObjectiveError
from slo.indicators.availability import Availability
from slo.indicators.goodput import Goodput
from slo.indicators.tpot import Tpot
from slo.indicators.ttft import Ttft
from slo.objective import Rolling


def test_a_document_says_everything(chat):
    (objective,) = parse(chat, "slo.yaml")
    assert objective.name == "chat-ttft"
    assert objective.display_name == "TTFT"
    assert objective.indicator == Ttft(2_000_000)
    assert objective.target == Decimal("0.99")
    assert objective.window == Rolling(30 * MICROS_PER_DAY)
    assert objective.selector == (("pool", "chat"),)
    assert objective.group_by == ("model", "tenant")
    assert (objective.policy, objective.guess) == ("workbook", False)


def test_a_threshold_may_state_its_limit_in_seconds(chat):
    text = chat.replace("            limit: 2s\n", "").replace(
        "- target", "- op: lte\n      value: 0.1\n      target"
    )
    assert parse(text.replace("ttft", "tpot"), "f")[0].indicator == Tpot(100_000)


def test_a_ratio_names_its_good_and_counts_every_request(chat):
    ratio = """\
      ratioMetric:
        counter: true
        good: {metricSource: {type: inferometer, spec: {indicator: availability, patience: 1.5s}}}
        total: {metricSource: {type: inferometer, spec: {indicator: requests}}}
"""
    start, end = chat.index("      thresholdMetric"), chat.index("  timeWindow")
    (objective,) = parse(chat[:start] + ratio + chat[end:], "f")
    assert objective.indicator == Availability(patience_us=1_500_000)


@pytest.mark.parametrize(
    ("written_", "exact"),
    [("target: 0.9990", "0.999"), ("targetPercent: 99.95", "0.9995"), ('target: "0.95"', "0.95")],
)
def test_a_target_is_exactly_what_was_written(chat, written_, exact):
    assert parse(chat.replace("target: 0.99", written_), "f")[0].target == Decimal(exact)


@pytest.mark.parametrize(
    ("policies", "policy"),
    [
        ("", "workbook"),
        ("  alertPolicies: []\n", "none"),
        ("  alertPolicies: [{alertPolicyRef: tickets}]\n", "tickets"),
    ],
)
def test_alert_policies(chat, policies, policy):
    assert parse(chat + policies, "f")[0].policy == policy


def test_a_week_has_the_weekly_policy(chat):
    assert parse(chat.replace("30d", "1w"), "f")[0].policy == "workbook-7d"


def test_many_documents_or_a_list_of_them(chat):
    second = chat.replace("chat-ttft", "code-ttft")
    listed = "".join(f"- {doc}".replace("\n", "\n  ").rstrip() + "\n" for doc in (chat, second))
    for text in (f"{chat}---\n{second}", listed):
        assert [objective.name for objective in parse(text, "f")] == ["chat-ttft", "code-ttft"]


def test_a_folder_is_read_in_order_of_name(tmp_path, chat):
    (tmp_path / "b.yaml").write_text(chat)
    (tmp_path / "a.yml").write_text(chat.replace("chat-ttft", "first"))
    (tmp_path / "notes.txt").write_text("not read")
    assert [objective.name for objective in read(tmp_path)] == ["first", "chat-ttft"]


def test_the_starters_are_guesses_per_model_and_tenant():
    starters = starter()
    assert [objective.name for objective in starters] == ["availability", "ttft", "tpot", "goodput"]
    assert {objective.group_by for objective in starters} == {("model", "tenant")}
    assert all(objective.guess for objective in starters)
    assert not any(objective.silent_pairs() for objective in starters)
    assert starters[3].indicator == Goodput(ttft_us=2_000_000, tpot_us=100_000)


def test_limits_of_the_command_line_are_a_joint_goodput():
    objective = limits(["ttft=2s", "tpot=100ms"])
    assert objective.indicator == Goodput(ttft_us=2_000_000, tpot_us=100_000)
    assert (objective.group_by, objective.policy, objective.guess) == ((), "none", True)


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["tfft=2s"], "limits nothing known; did you mean ttft"),
        (["ttft"], "'ttft': '' is not a duration"),
        (["ttft=2"], "'2' is not a duration"),
        (["ttft=2s", "ttft=3s"], "limited twice"),
        (["ttft=0s"], "longer than nothing"),
        ([], "goodput without a limit"),
    ],
)
def test_wrong_limits_are_explained(texts, reason):
    with pytest.raises(ObjectiveError, match=re.escape(reason)):
        limits(texts)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2s", 2_000_000),
        ("100ms", 100_000),
        ("1.5s", 1_500_000),
        ("30d", 30 * MICROS_PER_DAY),
        ("1w", 7 * MICROS_PER_DAY),
        ("7us", 7),
        ("0.000001s", 1),
    ],
)
def test_durations(text, micros):
    assert duration(text) == micros


@pytest.mark.parametrize("micros", [1, 999, 1_000, 90_000_000, 3_600_000_000, 30 * MICROS_PER_DAY])
def test_a_written_duration_reads_back(micros):
    assert duration(written(micros)) == micros


def test_every_example_of_the_documentation_is_read(repository):
    page = (repository / "docs/objectives.md").read_text()
    examples = [body for body in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "apiVersion" in body]
    objectives = [made for body in examples for made in parse(body, "docs/objectives.md")]
    assert [made.name for made in objectives] == ["chat-ttft", "chat-goodput", "chat-availability"]
