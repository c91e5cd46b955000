"""Settings are read once, and every mistake is told with its key, its value and what is allowed."""

from __future__ import annotations

from dataclasses import fields

import pytest

from collector.settings import EngineTarget, Settings, SettingsError, load


def write(tmp_path, text):
    path = tmp_path / "agent.toml"
    path.write_text(text)
    return path


def test_nothing_given_measures_this_host():
    settings = load(None, {})
    assert (settings.server, settings.gpus, settings.interval_seconds) == (None, True, 1.0)
    assert settings.host


def test_a_file_says_everything(tmp_path):
    path = write(
        tmp_path,
        """
        server = "https://inferometer.example/"
        token = "secret"
        host = "node-7"
        listen = "0.0.0.0:9000"
        expected_gpus = 8
        [[engines]]
        url = "http://127.0.0.1:8000"
        pool = "chat"
        gpus = ["GPU-a", "GPU-b"]
        ranks = 2
        """,
    )
    settings = load(path, {})
    assert settings.server == "https://inferometer.example"
    assert (settings.host, settings.listen, settings.expected_gpus) == ("node-7", ("0.0.0.0", 9000), 8)
    (engine,) = settings.engines
    assert (engine.url, engine.pool) == ("http://127.0.0.1:8000/metrics", "chat")
    assert (engine.gpus_of(0), engine.gpus_of(1)) == (("GPU-a",), ("GPU-b",))
    assert str(engine.replica("node-7", 1)) == "node-7:8000#1"


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(tmp_path):
    path = write(tmp_path, 'host = "file"\nregion = "file"\nseal_seconds = 3')
    settings = load(
        path,
        {"INFEROMETER_AGENT_HOST": "environment", "INFEROMETER_AGENT_REGION": "environment", "PATH": "/bin"},
        {"host": "line", "region": None},
    )
    assert (settings.host, settings.region, settings.seal_seconds) == ("line", "environment", 3.0)


def test_the_environment_names_engines_and_switches():
    environment = {
        "INFEROMETER_AGENT_ENGINES": "http://127.0.0.1:8000, http://10.0.0.9:8001/metrics",
        "INFEROMETER_AGENT_GPUS": "false",
    }
    settings = load(None, environment)
    assert [str(engine.replica("node", 0)) for engine in settings.engines] == ["node:8000", "10.0.0.9:8001"]
    assert settings.gpus is False


def test_a_token_may_lie_in_a_file(tmp_path):
    secret = tmp_path / "token"
    secret.write_text("s3cret\n")
    settings = load(
        None, {"INFEROMETER_AGENT_TOKEN_FILE": str(secret), "INFEROMETER_AGENT_SERVER": "http://x"}
    )
    assert settings.token == "s3cret"


def test_a_token_is_in_no_message_and_no_representation():
    with pytest.raises(SettingsError) as refused:
        load(None, {}, {"token": "s3cret\x00", "server": "http://x"})
    assert "s3cret" not in str(refused.value)
    assert "s3cret" not in repr(Settings(token="s3cret"))


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("severe", "x", "not a setting; known are"),
        ("server", "ftp://x", "must be an http:// or https:// address"),
        ("listen", "9477", "must be ADDRESS:PORT"),
        ("interval_seconds", 0, "must be a number of 0.1 to 60"),
        ("interval_seconds", True, "must be a number"),
        ("interval_seconds", "nan", "must be a number"),
        ("expected_gpus", 1.5, "must be a whole number"),
        ("gpus", "maybe", "must be true or false"),
        ("origin", "dreamt", "must be one of live, simulated, imported"),
        ("engines", [{"url": "http://x", "color": "red"}], "color unknown"),
        ("engines", [{"pool": "x"}], "a table with url"),
        ("engines", [{"url": "http://x", "gpus": ["a", "b", "c"], "ranks": 2}], "cannot be shared"),
        ("engines", ["http://x", "http://x"], "named twice"),
        ("host", "two\nlines", "printable text"),
    ],
)
def test_a_mistake_names_key_value_and_what_is_allowed(key, value, told):
    with pytest.raises(SettingsError) as refused:
        load(None, {}, {key: value})
    assert key in str(refused.value) and told in str(refused.value)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(SettingsError) as refused:
        load(
            None,
            {
                "INFEROMETER_AGENT_GPUS": "maybe",
                "INFEROMETER_AGENT_HSOT": "x",
                "INFEROMETER_AGENT_LISTEN": "no",
            },
        )
    assert all(key in str(refused.value) for key in ("gpus", "hsot", "listen"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"server": "http://x"}, "token: missing"),
        ({"seal_seconds": 0.5}, "must not be below interval_seconds"),
    ],
)
def test_an_impossible_combination_refuses_to_start(given, told):
    with pytest.raises(SettingsError, match=told):
        load(None, {}, given)


@pytest.mark.parametrize("text", ["server = ", "\xff"])
def test_a_file_that_is_not_toml_is_told(tmp_path, text):
    path = tmp_path / "agent.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match="not TOML"):
        load(path, {})


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(SettingsError, match="name an existing file"):
        load(tmp_path / "none.toml", {})


def test_a_remote_engine_is_named_by_its_own_host():
    assert str(EngineTarget(url="https://gpu-9.example/metrics").replica("node", 0)) == "gpu-9.example:443"


def test_every_setting_is_documented(repository):
    page = (repository / "docs" / "agent.md").read_text()
    assert [one.name for one in fields(Settings) if f"`{one.name}`" not in page] == []
