"""Promises checked in files, their state and the cost asked of a running service."""

from __future__ import annotations

import json

import pytest

FIVE_MISTAKES = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: Chat TTFT}
spec:
  service: chat
  indicator:
    metadata: {name: i}
    spec:
      thresholdMetric:
        metricSource:
          type: inferometer
          spec: {indicator: ttft, group_by: [model]}
  timeWindow: [{duration: soon, isRolling: true}]
  budgetingMethd: Occurrences
  objectives: [{op: lte, value: fast, targetPercent: 100}]
"""


def test_a_good_file_is_answered_with_its_promises(cli, repository):
    said = cli("slo", "check", repository / "service/objectives/starter.yaml")
    assert said.code == 0
    assert "ttft: 99 % of requests: first token within 2s, over 30d, for each model and tenant" in said.out
    machine = json.loads(cli("slo", "check", repository / "service/objectives/starter.yaml", "--json").out)
    assert {"name", "promise", "version"} == set(machine[0]) and len(machine) == said.out.count("\n")


def test_every_mistake_of_every_file_is_told_with_its_place(cli, tmp_path):
    (tmp_path / "bad.yaml").write_text(FIVE_MISTAKES)
    said = cli("slo", "check", tmp_path / "bad.yaml", tmp_path / "absent.yaml")
    told = [line for line in said.err.splitlines() if "bad.yaml:" in line]
    assert said.code == 1 and len(told) == 5 and not said.out
    assert any("absent.yaml:1:1: cannot be read" in line for line in said.err.splitlines())
    assert [line.split("bad.yaml:")[1].split(":")[0] for line in told] == ["3", "13", "14", "15", "15"]


LOW = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: low}
spec:
  service: chat
  indicator:
    metadata: {name: low}
    spec:
      thresholdMetric: {metricSource: {type: inferometer, spec: {indicator: ttft}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{op: lte, value: 2, targetPercent: 90}]
"""


def test_an_alert_that_can_never_fire_is_told_and_a_severity_that_cannot_is_refused(cli, tmp_path):
    file = tmp_path / "low.yaml"
    file.write_text(LOW)
    said = cli("slo", "check", file)
    assert said.code == 0 and said.out.count("\n") == 1
    told = "low: its page over 1h and 5m can never fire: with every request bad the budget burns 10x too fast"
    assert [line for line in said.err.splitlines() if "never" in line] == [
        f"{told}, and it takes more than 14.4x"
    ]
    file.write_text(LOW.replace("90}", "80}"))
    said = cli("slo", "check", file)
    assert said.code == 1 and "low.yaml:12:" in said.err and "no page could ever fire" in said.err


def test_a_correction_of_an_objective_that_is_in_no_file_is_told(cli, tmp_path):
    (tmp_path / "sunday.yaml").write_text(
        "apiVersion: inferometer/v1\nkind: Correction\nmetadata: {name: sunday}\nspec: {objectives: "
        "[chat-tfft], start: 2026-01-04 02:00, duration: 2h, why: upgrade}\n"
    )
    said = cli("slo", "check", tmp_path / "sunday.yaml")
    assert said.code == 0 and "chat-tfft are left out" in said.out
    assert "no objective of these files is called chat-tfft" in said.err


def test_status_before_any_request_says_of_each_promise_that_nothing_is_known(cli, admin):
    said = cli("slo", "status")
    assert said.code == 0
    assert said.out.count("no data") == 4
    assert "None of 4 promises has seen a request" in said.err and "guesses" in said.err
    assert "{" not in said.err, "sentences are for people"
    found = json.loads(cli("slo", "status", "--json").out)
    assert {(each["state"], each["group"], each["budget_left"]) for each in found} == {("no data", "", None)}


def test_cost_before_any_bill_says_so(cli, admin):
    said = cli("cost", "show", "--range", "1h")
    assert said.code == 0 and "Nothing has been closed" in said.out
    machine = json.loads(cli("cost", "show", "--json").out)
    assert machine["currency"] == "USD" and machine["classes"] == []
    assert machine["energy"] == {
        "pools": [], "untold": 0, "kwh": None, "amount_nano": None, "nano_per_kwh": None,
    }  # fmt: skip


def test_energy_is_told_before_any_bill_and_without_a_price_says_so(cli, admin):
    said = cli("cost", "show", "--range", "1h")
    assert "energy, beside the bill" in said.out and "kWh" in said.out
    assert "electricity has no price" in said.err


def test_an_unknown_range_is_answered_with_those_there_are(cli, admin):
    said = cli("cost", "show", "--range", "3h")
    assert said.code == 1 and "not one of 5m, 15m, 1h, 6h, 1d, 7d, 30d" in said.err


@pytest.mark.parametrize("command", [("slo", "status"), ("cost", "show"), ("alert", "list")])
@pytest.mark.parametrize(
    ("server", "cause"),
    [
        ("http://127.0.0.1:1", "Connection refused"),
        ("127.0.0.1:8460", "missing an 'http://'"),
        ("http://[", "error"),
        ("", "Connection refused"),
    ],
)
def test_no_service_is_said_with_a_hint(cli, monkeypatch, command, server, cause):
    monkeypatch.setattr("inferometer.client.DEFAULT_URL", "http://127.0.0.1:1")
    said = cli(*command, "--server", server)
    assert said.code == 1 and cause in said.err and "--server" in said.err
