"""The doctor at the command line: findings, their hints, and an exit code that says whether it works."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def quiet(tmp_path):
    """Return settings of an agent that looks for no GPU and no engine."""
    path = tmp_path / "agent.toml"
    path.write_text("gpus = false\nfind_engines = false\n")
    return path


def test_a_host_where_all_works_exits_with_zero(cli, quiet, service):
    said = cli("doctor", "--config", quiet, "--server", service.url)
    assert said.code == 0 and "ok    service: It answers (200)" in said.out
    assert "FAIL" not in said.out


def test_what_will_not_work_is_told_with_a_hint_and_exits_with_one(cli, quiet):
    said = cli(
        "doctor", "--config", quiet, "--server", "http://127.0.0.1:1", "--engine", "http://127.0.0.1:2"
    )
    assert said.code == 1
    assert "FAIL  service:" in said.out and "-> batches stay in the spool" in said.out


def test_json_has_every_check(cli, quiet):
    said = cli("doctor", "--config", quiet, "--json")
    checks = {check["name"]: check for check in json.loads(said.out)}
    assert {"driver", "engines", "service", "disk", "records socket"} <= set(checks)
    assert all({"name", "status", "sentence", "hint"} == set(check) for check in checks.values())


def test_wrong_settings_are_told(cli, tmp_path):
    (tmp_path / "agent.toml").write_text("gpuss = false\n")
    said = cli("doctor", "--config", tmp_path / "agent.toml")
    assert said.code == 1 and "gpuss" in said.err
