"""`inferometer slo apply`, `list` and `delete`: the objectives of a running service."""

from __future__ import annotations

import json
import time

TTFT = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: NAME}
spec:
  service: chat
  indicator:
    metadata: {name: NAME}
    spec:
      thresholdMetric: {metricSource: {type: inferometer, spec: {indicator: ttft, limit: 2s}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
"""


def in_force(cli, name):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        told = json.loads(cli("slo", "list", "--json").out)["objectives"]
        if any(each["name"] == name and each["in_force"] for each in told):
            return True
        time.sleep(0.2)
    return False


def test_objectives_are_given_listed_and_withdrawn(cli, admin, tmp_path):
    file = tmp_path / "two.yaml"
    file.write_text(f"{TTFT.replace('NAME', 'one')}---\n{TTFT.replace('NAME', 'two')}")
    said = cli("slo", "apply", "--check", file)
    assert said.code == 0 and "one: 99 % of requests: first token within 2s" in said.out
    assert "one" not in [each["name"] for each in json.loads(cli("slo", "list", "--json").out)["objectives"]]
    assert cli("slo", "apply", file).code == 0
    assert in_force(cli, "two")
    said = cli("slo", "list")
    assert "API, given by" in said.out and "first token within 2s" in said.out
    for name in ("one", "two"):
        assert cli("slo", "delete", name).out == f"withdrawn {name}\n"
    said = cli("slo", "delete", "one")
    assert said.code == 1 and "the API was given no objective 'one'" in said.err


def test_nothing_is_given_of_files_of_which_one_is_mistaken(cli, admin, tmp_path):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(TTFT.replace("NAME", "good"))
    bad.write_text(TTFT.replace("NAME", "bad").replace("2s", "soon"))
    said = cli("slo", "apply", good, bad)
    assert said.code == 1 and "bad.yaml:9:90:" in said.err and "'soon' is not a duration" in said.err
    assert "good" not in [each["name"] for each in json.loads(cli("slo", "list", "--json").out)["objectives"]]
