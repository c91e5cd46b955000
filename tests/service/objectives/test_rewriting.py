"""A document comes back as its author wrote it, with other numbers in it."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.objectives.files import parse
from service.objectives.rewriting import documents, moved

GUIDE = (Path(__file__).parents[3] / "docs" / "objectives.md").read_text()
WRITTEN = {
    name: text
    for block in re.findall(r"```yaml\n(apiVersion: openslo/v1\n.*?)```", GUIDE, re.DOTALL)
    for name, text in documents(block).items()
}
TARGETS = st.integers(95_000, 99_999).map(lambda number: Decimal(number) / 100_000)
LIMITS = st.integers(1, 10_000_000)


def one(text):
    (objective,) = parse(text, "f")
    return objective


def test_every_document_of_a_text_stands_by_itself(chat):
    other = chat.replace("chat-ttft", "other")
    assert documents(f"# head\n{chat}---\n{other}") == {"chat-ttft": chat, "other": other}


def test_documents_of_a_list_stand_by_themselves(chat):
    lines = [f"{'- ' if at == 0 else '  '}{line}" for at, line in enumerate(chat.splitlines())]
    (text,) = documents("\n".join(lines)).values()
    assert one(text) == one(chat)


@pytest.mark.parametrize("name", sorted(WRITTEN))
@given(target=TARGETS)
def test_a_moved_target_is_exactly_that_and_nothing_else_changes(name, target):
    before, after = one(WRITTEN[name]), one(moved(WRITTEN[name], limits_us={}, target=target))
    assert after.target == target
    assert (after.indicator, after.group_by, after.selector) == (
        before.indicator,
        before.group_by,
        before.selector,
    )


@pytest.mark.parametrize("beside", [True, False])
@given(limit_us=LIMITS)
def test_a_moved_threshold_is_exactly_that_wherever_it_was_written(beside, limit_us):
    text = WRITTEN["chat-ttft"]
    if beside:
        text = re.sub(r"    - op: lte\n      value.*\n      target", "    - target", text)
        text = text.replace("indicator: ttft\n", "indicator: ttft\n            limit: 2s\n")
    assert one(moved(text, limits_us={"limit": limit_us})).indicator.limit_us == limit_us


@given(ttft=LIMITS, e2e=LIMITS)
def test_each_limit_of_a_joint_objective_moves_by_itself(ttft, e2e):
    indicator = one(moved(WRITTEN["chat-goodput"], limits_us={"ttft": ttft, "e2e": e2e})).indicator
    assert (indicator.ttft_us, indicator.tpot_us, indicator.e2e_us) == (ttft, 100_000, e2e)


def test_comments_order_and_spelling_stay():
    text = WRITTEN["chat-ttft"]
    after = moved(text, limits_us={"limit": 1_500_000}, target=Decimal("0.995"))
    assert after == text.replace("value: 2  ", "value: 1.5").replace(
        "targetPercent: 99  ", "targetPercent: 99.5"
    )


COOL = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: cool}
spec:
  service: fleet
  indicator:
    metadata: {name: cool}
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource:
            type: inferometer
            spec:
              indicator: gpu_threshold
              column: temperature_celsius
              op: lte
              value: 85 # of the datasheet
        total: {metricSource: {type: inferometer, spec: {indicator: samples}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives:
    - targetPercent: 99
"""


def test_a_moved_threshold_of_samples_is_that_number_and_the_rest_stays():
    after = moved(COOL, limits_us={}, numbers={"value": Decimal("90.5")})
    assert one(after).indicator.value == Decimal("90.5")
    assert after.replace("90.5", "85").split() == COOL.split()
