"""`inferometer quarantine`: what was set aside is listed beside whoever holds the journal."""

from __future__ import annotations

import json

import pytest

from journal import Journal, Sealed


@pytest.fixture
def spool(tmp_path):
    """A spool that its agent holds open, in an agent's data directory."""
    journal = Journal.open(tmp_path / "spool.db", readers=("ship",))
    yield journal
    journal.close()


def refuse(spool, seq, reason):
    batch = Sealed(agent="node-1", boot="b", seq=seq, received_at_us=1_700_000_000_000_000, body=b"12345")
    spool.append(batch).result(5)
    spool.quarantine(spool.head(), "ship", reason)


def test_what_the_service_refused_is_listed_newest_first_while_the_agent_runs(cli, spool, tmp_path):
    refuse(spool, 1, "HTTP 422: gpu_samples.at_us")
    refuse(spool, 2, "HTTP 413: too long")
    told = json.loads(cli("quarantine", tmp_path, "--json").out)
    assert [(one["seq"], one["reader"], one["size"]) for one in told] == [(2, "ship", 5), (1, "ship", 5)]
    said = cli("quarantine", tmp_path, "--limit", "1")
    assert "2023-11-14 22:13:20 UTC" in said.out and "HTTP 413: too long" in said.out
    assert "422" not in said.out


def test_what_a_stopped_agent_left_is_listed_too(cli, spool, tmp_path):
    refuse(spool, 1, "why not")
    spool.close()
    assert "why not" in cli("quarantine", tmp_path).out


def test_an_empty_quarantine_is_said_to_be_empty(cli, spool, tmp_path):
    said = cli("quarantine", tmp_path)
    assert (said.code, said.out) == (0, "") and "nothing is in quarantine" in said.err


def test_a_place_without_a_journal_is_told(cli, tmp_path):
    assert "name a data directory" in cli("quarantine", tmp_path / "none").err
    (tmp_path / "spool.db").write_bytes(b"something else altogether" * 99)
    said = cli("quarantine", tmp_path)
    assert said.code == 1 and "is it a journal?" in said.err
