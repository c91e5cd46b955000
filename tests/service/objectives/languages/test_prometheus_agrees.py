"""What we emit, judged by Prometheus itself: its checker and its unit tests of rules."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[4] / "../shared/fixtures/slo"
KUADRANT = FIXTURES / "promtool/kuadrant-availability"
SPECS = sorted([*FIXTURES.glob("sloth/*/input.yaml"), *FIXTURES.glob("sloth-validate/good-*/input.yaml")])
shared = pytest.mark.skipif(not SPECS, reason="needs ../shared/fixtures/slo")

UNEVEN = """\
version: prometheus/v1
service: shop
slos:
  - name: night
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(requests_total{code="500"}[{{.window}}]))
        total_query: sum(rate(requests_total[{{.window}}]))  # every code
    alerting: {name: Night}
"""
# 20 quiet hours with 1 request a minute, of which one hour fails, then 4 busy hours with 100.
UNEVEN_TEST = """\
rule_files: [rules.yaml]
evaluation_interval: 5m
tests:
  - interval: 1m
    input_series:
      - series: requests_total{code="200"}
        values: 0+1x600 600+0x59 601+1x539 1240+100x240
      - series: requests_total{code="500"}
        values: 0+0x600 1+1x59 60+0x780
    promql_expr_test:
      - expr: abs(sum(slo:sli_error:ratio_rate1d) / (60 / 25200) - 1) < bool 0.01
        eval_time: 24h
        exp_samples: [{labels: '{}', value: 1}]
"""

OURS = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: chat-ttft}
spec:
  service: chat
  indicator:
    spec:
      thresholdMetric:
        metricSource: {type: inferometer, spec: {indicator: ttft, limit: 2s, group_by: [tenant]}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
"""
# Tenant a is served well; of b's requests every fifth is bad: it burns 20x.
OURS_TEST = """\
rule_files: [rules.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'inferometer_slo_requests_total{objective="chat-ttft",tenant="a"}', values: 0+100x120}
      - {series: 'inferometer_slo_good_requests_total{objective="chat-ttft",tenant="a"}', values: 0+100x120}
      - {series: 'inferometer_slo_requests_total{objective="chat-ttft",tenant="b"}', values: 0+10x120}
      - {series: 'inferometer_slo_good_requests_total{objective="chat-ttft",tenant="b"}', values: 0+8x120}
    promql_expr_test:
      - expr: round(slo:current_burn_rate:ratio{tenant="b"}, 0.0001)
        eval_time: 2h
        exp_samples:
          - labels: '{objective="chat-ttft", sloth_id="chat-chat-ttft", sloth_service="chat", sloth_slo="chat-ttft", sloth_window="5m", tenant="b"}'
            value: 20
    alert_rule_test:
      - eval_time: 2h
        alertname: SloBudgetBurn
        exp_alerts:
          - exp_labels: {<<: &who {objective: chat-ttft, sloth_id: chat-chat-ttft, sloth_service: chat, sloth_slo: chat-ttft, tenant: b}, sloth_severity: page}
            exp_annotations:
              promise: &promise '99 % of requests: first token within 2s, over 30d'
              summary: &summary chat chat-ttft SLO error budget burn rate is over expected.
              title: (page) chat chat-ttft SLO error budget burn rate is too fast.
          - exp_labels: {<<: *who, sloth_severity: ticket}
            exp_annotations:
              promise: *promise
              summary: *summary
              title: (ticket) chat chat-ttft SLO error budget burn rate is too fast.
"""


@pytest.fixture
def rules_pass(tmp_path, converted, promtool):
    """Converts a text to rules and runs a unit test of promtool on them."""

    def run(source, text, test, **asked):
        (tmp_path / "spec.yaml").write_text(text)
        (tmp_path / "rules.yaml").write_text(converted(source, "prometheus", tmp_path / "spec.yaml", **asked))
        (tmp_path / "test.yaml").write_text(test)
        content, said = promtool("test", "rules", tmp_path / "test.yaml")
        assert content, said

    return run


@shared
@pytest.mark.shared
def test_every_emitted_file_passes_the_checker(tmp_path, converted, promtool, exceptions):
    unchecked = {row["where"] for row in exceptions if "promtool" in row["what"]}
    for spec in SPECS:
        name = f"{spec.parent.parent.name}/{spec.parent.name}"
        if name not in unchecked:
            (tmp_path / f"{spec.parent.name}.yaml").write_text(converted("sloth", "prometheus", spec))
    written = sorted(tmp_path.iterdir())
    assert len(written) == len(SPECS) - len(unchecked)
    content, said = promtool("check", "rules", *written)
    assert content, said


@shared
@pytest.mark.shared
def test_kuadrants_own_test_passes_from_its_sloth_spec(rules_pass):
    test = (KUADRANT / "test.yaml").read_text().replace("/prometheus/availability-rules.yaml", "rules.yaml")
    rules_pass("sloth", (KUADRANT / "sloth-input.yaml").read_text(), test)


def test_a_quiet_night_weighs_as_its_requests_do(rules_pass):
    rules_pass("sloth", UNEVEN, UNEVEN_TEST, period_us=24 * 3_600_000_000)


def test_our_own_counters_burn_and_alert_for_each_group(rules_pass):
    rules_pass("openslo", OURS, OURS_TEST)


def test_the_rules_of_our_starters_pass_the_checker(tmp_path, converted, promtool):
    starters = resources.files("service.objectives") / "starter.yaml"
    (tmp_path / "rules.yaml").write_text(converted("openslo", "prometheus", Path(str(starters))))
    content, said = promtool("check", "rules", "--lint-fatal", tmp_path / "rules.yaml")
    assert content, said
