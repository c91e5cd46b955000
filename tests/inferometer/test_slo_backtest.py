"""`inferometer slo backtest`: what would have alerted, over imports and over a service's own facts."""

from __future__ import annotations

import json

import pytest

OBJECTIVE = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: chat-ttft, displayName: TTFT}
spec:
  service: chat
  indicator:
    metadata: {name: chat-ttft}
    spec:
      thresholdMetric: {metricSource: {type: inferometer, spec: {indicator: ttft}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{op: lte, value: 2, targetPercent: 99}]
"""
RUNS = {"vllm-2xA10-20260808-044202-roundrobin": 1, "vllm-2xA10-20260808-023919-kvaware": 0}


@pytest.fixture
def chat(tmp_path):
    file = tmp_path / "chat.yaml"
    file.write_text(OBJECTIVE)
    return file


@pytest.mark.shared
def test_each_import_of_a_directory_is_answered_by_itself(process, chat, shared):
    runs = [shared / "traces/nolicence" / name for name in RUNS]
    assert process("import", *runs, "--into", "incident").code == 0
    said = process("slo", "backtest", chat, "--dir", "incident", "--json")
    pages = {
        each["dataset"].rpartition(":")[2]: sum(alert["severity"] == "page" for alert in each["alerts"])
        for each in json.loads(said.out)
    }
    assert pages == RUNS


def test_a_person_reads_what_was_counted_and_what_would_have_been(process, chat, recording):
    assert process("import", recording(), "--into", "incident").code == 0
    said = process("slo", "backtest", chat, "--dir", "incident")
    assert "run: 99 % of requests: first token within 2s, over 30d" in said.out
    assert "1 of 3 were good (33.333%)" in said.out and "from stored rows" in said.out
    assert "would have paged once and opened a ticket once" in said.out


def test_a_service_is_asked_and_has_nothing_yet(cli, admin, chat):
    said = cli("slo", "backtest", chat)
    assert said.code == 0
    assert "chat-ttft, live facts: 99 % of requests" in said.out
    assert "no data" in said.out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--range", "soon"), "'soon' is not a duration"),
        (("--range", "90d"), "90d is not up to 62d"),
    ],
)
def test_a_range_that_cannot_be_asked_for(cli, admin, chat, options, told):
    said = cli("slo", "backtest", chat, *options)
    assert said.code == 1 and told in said.err


def test_an_import_that_is_not_there_is_told_with_those_that_are(cli, process, chat, admin, recording):
    asked = cli("slo", "backtest", chat, "--dataset", "nowhere")
    assert asked.code == 1 and "dataset 'nowhere': there is no such import; there are none" in asked.err
    assert process("import", recording(), "--into", "incident").code == 0
    read = process("slo", "backtest", chat, "--dir", "incident", "--dataset", "nowhere")
    assert read.code == 1 and "there is no such import; there are run" in read.err
    assert "were good" in process("slo", "backtest", chat, "--dir", "incident", "--dataset", "run").out


def test_a_directory_without_facts(cli, chat, tmp_path):
    said = cli("slo", "backtest", chat, "--dir", tmp_path / "nothing")
    assert said.code == 1 and "there are no facts" in said.err


def test_a_directory_that_a_service_holds(cli, service, chat):
    said = cli("slo", "backtest", chat, "--dir", service.data_dir)
    assert said.code == 1 and f"--server {service.url}, its imports with --dataset" in said.err


def test_a_file_with_mistakes_is_refused_with_their_places(cli, admin, chat):
    chat.write_text(OBJECTIVE.replace("ttft}}", "ttfft}}"))
    said = cli("slo", "backtest", chat)
    assert said.code == 1 and "chat.yaml:" in said.err and "ttft" in said.err
