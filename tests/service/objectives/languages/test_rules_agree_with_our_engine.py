"""Our rules, evaluated by Prometheus every minute, beside our own engine on the same traffic."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from service.objectives.languages.durations import prometheus_duration
from slo.cells import Cells
from slo.evaluate import judge
from slo.indicators.availability import Availability
from slo.objective import Objective
from slo.ring import Ring
from telemetry.condition import Severity

MINUTE = 60_000_000
MINUTES = 30 * 60
"""So long that the window of a day has begun to forget."""
CLOSE = Fraction(1, 1_000)
SPEC = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: up}
spec:
  service: chat
  indicator:
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: inferometer, spec: {indicator: availability}}}
        total: {metricSource: {type: inferometer, spec: {indicator: requests}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
"""


@pytest.fixture(scope="module")
def traffic():
    """Good and total of every minute: an uneven day with incidents of every weight."""
    chance = np.random.default_rng(42)
    total = (20_000 * (1.1 + np.sin(np.arange(MINUTES) / 60))).astype(np.int64)
    ratio = np.full(MINUTES, 0.002)
    for start in range(20, MINUTES, 70):
        ratio[start : start + chance.integers(3, 40)] = 10 ** chance.uniform(-2, 0)
    return chance.binomial(total, 1 - ratio), total


@pytest.fixture(scope="module")
def judged(traffic):
    """The engine's answer at the end of each minute: error ratio by window, severities that fire."""
    good, total = traffic
    objective = Objective(name="up", indicator=Availability(), target=Decimal("0.99"))
    ring = Ring(windows_us=objective.windows_us, now_us=0)
    found = {}
    for minute in range(MINUTES):
        ring.advance(minute * MINUTE)
        one = np.array([minute]), good[minute : minute + 1], total[minute : minute + 1]
        ring.add(Cells.of([()], group=np.zeros(1, np.int64), bucket=one[0], good=one[1], total=one[2]))
        judgement = judge(objective, ring.counts())
        ratios = {
            each.window_us: 1 - Fraction(each.good, each.total) for each in judgement.verdict(0).windows
        }
        firing = {severity: bool(judgement.holds(severity)[0] > 0) for severity in Severity}
        found[minute + 1] = ratios, firing, _in_doubt(objective, ratios)
    return found


def _in_doubt(objective, ratios):
    """Tells whether some window is so close to a threshold that rounding may decide."""
    limits = [(objective.error_ratio(pair), pair) for pair in objective.alerts.pairs]
    return any(
        abs(ratios[window] / limit - 1) <= CLOSE
        for limit, pair in limits
        for window in (pair.long_us, pair.short_us)
    )


def _questions(judged):
    for minute, (ratios, firing, in_doubt) in judged.items():
        for window_us, ratio in ratios.items():
            name = f"slo:sli_error:ratio_rate{prometheus_duration(window_us)}"
            yield minute, f"abs(sum({name}) / {float(ratio)!r} - 1) <= bool {float(CLOSE)}", 1
        for severity, fires in firing.items():
            if not in_doubt:
                alerts = f'ALERTS{{alertstate="firing",sloth_severity="{severity}"}}'
                yield minute, f"(count({alerts}) or vector(0))", int(fires)


def test_ratios_agree_and_alerts_fire_in_the_same_minutes(traffic, judged, converted, promtool, tmp_path):
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "rules.yaml").write_text(converted("openslo", "prometheus", tmp_path / "spec.yaml"))
    good, total = (" ".join(map(str, [0, *np.cumsum(each)])) for each in traffic)
    questions = [
        f"      - {{expr: '{asked}', eval_time: {minute}m, exp_samples: [{{labels: '{{}}', value: {answer}}}]}}"
        for minute, asked, answer in _questions(judged)
    ]
    groups = [
        "sloth-slo-sli-recordings-chat-up",
        "sloth-slo-meta-recordings-chat-up",
        "sloth-slo-alerts-chat-up",
    ]
    (tmp_path / "test.yaml").write_text(
        "\n".join(
            [
                "rule_files: [rules.yaml]",
                "evaluation_interval: 1m",
                f"group_eval_order: [{', '.join(groups)}]",
                "tests:",
                "  - interval: 1m",
                "    input_series:",
                f"      - {{series: 'inferometer_slo_good_requests_total{{objective=\"up\"}}', values: '{good}'}}",
                f"      - {{series: 'inferometer_slo_requests_total{{objective=\"up\"}}', values: '{total}'}}",
                "    promql_expr_test:",
                *questions,
            ]
        )
    )
    fired = [firing for _, firing, in_doubt in judged.values() if not in_doubt]
    assert len(fired) > 0.95 * MINUTES, "what rounding may decide is rare"
    assert all({each[severity] for each in fired} == {True, False} for severity in Severity)
    assert len(questions) > 9 * MINUTES
    content, said = promtool("test", "rules", tmp_path / "test.yaml")
    assert content, said[:4_000]
