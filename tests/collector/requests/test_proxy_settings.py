"""Settings: where they come from, and what refuses to start."""

import pytest

from collector.requests.settings import SettingsError, load_middleware_settings, load_settings

GOOD = {"upstream": ("http://127.0.0.1:8000",), "socket": "/run/inferometer.sock"}


def test_flags_beat_environment_beats_file_beats_defaults(tmp_path):
    config = tmp_path / "proxy.toml"
    config.write_text(f'pool = "file"\nmodel = "file"\nregion = "file"\n[tenants]\n"{"A" * 64}" = "acme"\n')
    environment = {
        "INFEROMETER_PROXY_MODEL": "env",
        "INFEROMETER_PROXY_POOL": "env",
        "INFEROMETER_PROXY_CONFIG": str(config),
    }
    environment |= {
        "INFEROMETER_PROXY_UPSTREAM": "http://a:1, http://b:2",
        "INFEROMETER_PROXY_TRUSTED": "10.0.0.0/8",
    }
    settings = load_settings({"socket": "/s", "pool": "flag", "model": None}, environment)
    assert (settings.pool, settings.model, settings.region) == ("flag", "env", "file")
    assert settings.upstream == ("http://a:1", "http://b:2")
    assert (settings.tenants, settings.include_usage) == ({"a" * 64: "acme"}, True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"upstream": ()}, "upstream: must be given"),
        ({"socket": None}, "socket: must be given"),
        ({"colour": "blue"}, "colour: no such setting; there are client_stall"),
        ({"include_usage": "perhaps"}, "include_usage: 'perhaps' is not true or false"),
        ({"max_in_flight": "many"}, "max_in_flight: 'many' is not a whole number"),
        ({"max_in_flight": 0}, "max_in_flight: 0 is not above 0"),
        ({"slow_seconds": "nan"}, "slow_seconds: nan is not above 0"),
        ({"sample_ratio": 2}, "sample_ratio: 2.0 is not between 0 and 1"),
        ({"trusted": ("10.0.0.1/8",)}, "trusted: .* is not a list of networks"),
        ({"listen": "8080"}, "listen: '8080' is not host:port"),
        ({"listen": "127.0.0.1:65536"}, "listen: '127.0.0.1:65536' is not host:port"),
        ({"upstream": ("ftp://x",)}, "upstream: one is not http"),
        ({"upstream": ("http://x:99999",)}, "upstream: one is not http"),
        ({"replica": ("a", "b")}, "replica: 2 names, 1 upstreams"),
        ({"tenants": {"sk-secret": "acme"}}, "tenants: a key is not the 64 hexadecimal digits"),
        ({"tenant_cap": 1, "tenants": {"a" * 64: "x", "b" * 64: "y"}}, "tenants: more than tenant_cap"),
        ({"pool": "x" * 201}, "is not a name of 1 to 200"),
        ({"socket": "/" + "x" * 120}, "socket: .* longer than 107"),
        ({"config": "/does/not/exist.toml"}, "config: cannot read"),
    ],
)
def test_what_cannot_be_refuses_to_start_and_says_what_is_allowed(changes, message):
    with pytest.raises(SettingsError, match=message):
        load_settings({**GOOD, **changes}, {})


def test_a_secret_is_in_no_message():
    with pytest.raises(SettingsError) as caught:
        load_settings({**GOOD, "upstream": ("http://user:hunter2@x:1",)}, {})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingsError) as caught:
        load_settings({**GOOD, "tenants": {"sk-secret": "acme"}}, {})
    assert "sk-secret" not in str(caught.value)


def test_replicas_are_named_as_the_agent_names_them():
    settings = load_settings(
        {**GOOD, "host": "gpu-7", "upstream": ("http://localhost:8000", "https://b.example")}, {}
    )
    assert [settings.replica_of(0), settings.replica_of(1)] == ["gpu-7:8000", "b.example:443"]
    named = load_settings({**GOOD, "replica": ("blue",)}, {})
    assert named.replica_of(0) == "blue"


def test_the_middleware_is_told_by_its_environment_alone(tmp_path):
    config = tmp_path / "middleware.toml"
    config.write_text(f'pool = "file"\n[tenants]\n"{"a" * 64}" = "acme"\n')
    told = {"SOCKET": "/s", "CONFIG": str(config), "INCLUDE_USAGE": "no", "REPLICA": "one"}
    settings = load_middleware_settings(
        {f"INFEROMETER_MIDDLEWARE_{key}": value for key, value in told.items()}
    )
    assert (settings.pool, settings.replica, settings.include_usage) == ("file", "one", False)
    assert settings.tenants == {"a" * 64: "acme"}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("POOL", "p", "socket: must be given, as INFEROMETER_MIDDLEWARE_SOCKET or in the file"),
        ("UPSTREAM", "http://h:1", "upstream: no such setting; there are host, in_flight_most"),
        ("SAMPLE_RATIO", "2", "sample_ratio: 2.0 is not between 0 and 1"),
    ],
)
def test_a_wrong_setting_of_the_middleware_is_named(key, value, message):
    given = {} if key == "POOL" else {"INFEROMETER_MIDDLEWARE_SOCKET": "/s"}
    with pytest.raises(SettingsError, match=message):
        load_middleware_settings({**given, f"INFEROMETER_MIDDLEWARE_{key}": value})
