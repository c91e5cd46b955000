"""The command explains itself, and says what is wrong in words."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMANDS = (
    "demo", "up", "agent", "proxy", "doctor", "quarantine", "import", "simulate", "slo", "slo check", "slo status", "cost", "cost show",
    "alert", "alert list", "alert silence", "alert unsilence", "alert sink", "alert receiver", "alert receiver add",
    "alert receiver list", "alert receiver test", "token", "token create", "token list", "token revoke",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_each_of_its_options(cli, command):
    said = cli(*command.split(), "--help")
    assert said.code == 0
    options = [line for line in said.out.splitlines() if line.strip("│ *").startswith("--")]
    assert options and all(len(line.split()) > 4 for line in options), options


def test_the_first_help_names_every_command_and_where_to_begin(cli):
    said = cli()
    assert all(f" {command} " in said.out for command in COMMANDS if " " not in command)
    assert "inferometer demo" in said.out


def test_an_unknown_command_is_a_mistake_of_usage(cli):
    said = cli("improt")
    assert said.code == 2 and "improt" in said.err


def test_a_missing_library_is_named_with_the_extra_that_brings_it():
    program = "import sys; sys.modules['sqlalchemy'] = None; sys.argv = ['inferometer', 'token', 'list', '--state-url', 'sqlite:///x']; from inferometer.main import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert "sqlalchemy is not installed" in ended.stderr and "inferometer[service]" in ended.stderr


def test_help_and_light_commands_load_no_library_of_the_service():
    program = "import sys; from inferometer.main import app; print([m for m in ('chdb', 'pyarrow', 'sqlalchemy', 'fastapi', 'plotly', 'numpy') if m in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.strip() == "[]"
