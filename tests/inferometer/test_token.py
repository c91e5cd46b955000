"""Tokens are made, listed and revoked at the command line, beside a running service or before it."""

from __future__ import annotations

import json

import pytest

from service.store.state import State
from service.store.tokens import Role


def tokens(tmp_path):
    state = State.open(f"sqlite:///{tmp_path}/inferometer-data/state.db")
    yield state.tokens
    state.close()


def test_the_answer_is_the_token_and_nothing_else(cli, tmp_path):
    said = cli("token", "create", "gpu-host-7", "--role", "agent")
    (store,) = tokens(tmp_path)
    found = store.find(said.out.strip())
    assert (said.code, said.out.count("\n"), found.name, found.role) == (0, 1, "gpu-host-7", Role.AGENT)
    assert "made a new state store" in said.err and "shown once" in said.err


def test_list_shows_who_but_never_the_token(cli):
    text = cli("token", "create", "ops", "--role", "admin").out.strip()
    said, machine = cli("token", "list"), cli("token", "list", "--json")
    assert "ops" in said.out and "admin" in said.out and text not in said.out + machine.out
    (row,) = json.loads(machine.out)
    assert (row["name"], row["role"], row["revoked"]) == ("ops", "admin", None)


def test_a_revoked_token_opens_nothing(cli, tmp_path):
    text = cli("token", "create", "old", "--role", "read").out.strip()
    assert cli("token", "revoke", "old").code == 0
    (store,) = tokens(tmp_path)
    assert store.find(text) is None
    again = cli("token", "revoke", "old")
    assert again.code == 1 and "no valid token has this name" in again.err


def test_a_second_token_of_a_name_is_made_and_the_first_one_told(cli, tmp_path):
    first = cli("token", "create", "twice", "--role", "agent").out.strip()
    said = cli("token", "create", "twice", "--role", "agent")
    (store,) = tokens(tmp_path)
    assert "1 older valid token" in said.err and store.find(first) and store.find(said.out.strip())


def test_what_was_done_is_in_the_audit_trail(cli, tmp_path):
    cli("token", "create", "a", "--role", "read")
    cli("token", "revoke", "a")
    state = State.open(f"sqlite:///{tmp_path}/inferometer-data/state.db")
    done = [(entry.who, entry.action, entry.subject) for entry in state.audit.listed()]
    state.close()
    assert done == [("command line", "revoke token", "a"), ("command line", "create token", "a")]


def test_a_running_service_knows_a_new_token_at_once(cli, service, monkeypatch):
    monkeypatch.setenv(
        "INFEROMETER_TOKEN",
        cli("token", "create", "late", "--role", "admin", "--data-dir", service.data_dir).out.strip(),
    )
    assert cli("alert", "silence", "a=b", "--server", service.url).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "cause"),
    [
        (("create", "x", "--role", "root"), 2, "there are agent, read, admin"),
        (("create", " x", "--role", "read"), 2, "1 to 200 printable characters"),
        (("create", "x" * 201, "--role", "read"), 2, "1 to 200 printable characters"),
        (("create", "x"), 2, "Missing option '--role'"),
        (("list",), 1, "there is no state store"),
        (("revoke", "x"), 1, "there is no state store"),
        (("list", "--state-url", "mysql://h/d"), 1, "mysql is not supported"),
        (("list", "--state-url", "nonsense"), 1, "not a URL"),
        (("create", "x", "--role", "read", "--data-dir", "/proc/nowhere"), 1, "/proc/nowhere: No such file"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_and_nothing_is_made(cli, tmp_path, arguments, code, cause):
    said = cli("token", *arguments)
    assert said.code == code and cause in said.err and not said.out
    assert not (tmp_path / "inferometer-data").exists()


def test_a_malformed_store_is_named(cli, tmp_path):
    (tmp_path / "state.db").write_text("this is not SQLite" * 100)
    said = cli("token", "list", "--data-dir", tmp_path)
    assert said.code == 1 and "state.db" in said.err
