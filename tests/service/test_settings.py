"""Settings are read once, and refused whole when any part is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.settings import Settings, SettingsError, load


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text('port = 1\nhost = "10.0.0.1"\ncurrency = "EUR"\n')
    settings = load(file, {"INFEROMETER_PORT": "2", "INFEROMETER_HOST": "::1"}, {"port": 3})
    assert (settings.port, settings.host, settings.currency) == (3, "::1", "EUR")


def test_an_unknown_key_names_itself_and_what_is_known(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text("prot = 1\n")
    with pytest.raises(SettingsError, match=r"prot: unknown key; known keys are data_dir, "):
        load(file, {}, {})


def test_an_unknown_variable_is_refused_too():
    with pytest.raises(SettingsError, match="prot: unknown key"):
        load(None, {"INFEROMETER_PROT": "1"}, {})


def test_every_fault_is_named_at_once(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text('port = 99999\ncurrency = "dollars"\n')
    with pytest.raises(SettingsError) as caught:
        load(file, {}, {})
    assert "port = 99999" in str(caught.value)
    assert "currency = 'dollars'" in str(caught.value)


def test_an_impossible_combination_refuses():
    with pytest.raises(SettingsError, match="at least twice"):
        load(None, {}, {"evaluation_seconds": 60, "sample_lag_seconds": 60})


def test_a_secret_is_read_from_the_file_that_the_variable_names(tmp_path):
    secret = tmp_path / "url"
    secret.write_text("postgresql+psycopg://u:p@127.0.0.1/x\n")
    settings = load(None, {"INFEROMETER_STATE_URL_FILE": str(secret)}, {})
    assert settings.state_address == "postgresql+psycopg://u:p@127.0.0.1/x"


def test_a_secret_file_that_is_not_there_names_the_variable():
    with pytest.raises(SettingsError, match="INFEROMETER_STATE_URL_FILE"):
        load(None, {"INFEROMETER_STATE_URL_FILE": "/nowhere"}, {})


def test_a_file_that_is_not_toml_says_where(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text("port = \n")
    with pytest.raises(SettingsError, match="line 1"):
        load(file, {}, {})


def test_tables_in_the_environment_are_written_as_toml_writes_them():
    assert load(None, {"INFEROMETER_PRICES": '{H100 = "2.95"}'}, {}).prices == {"H100": "2.95"}


def test_the_stores_default_to_the_data_directory():
    settings = Settings(data_dir=Path("/d"))
    assert settings.state_address == "sqlite:////d/state.db"
    assert settings.facts_address == "clickhousedb:///?interface=chdb&path=/d/facts"


def test_every_setting_is_documented(repository):
    text = (repository / "docs" / "settings.md").read_text()
    assert [key for key in Settings.model_fields if key not in text] == []


def test_pages_are_open_only_where_nobody_else_can_reach_them():
    assert Settings(host="127.0.0.1").open_to_readers
    assert not Settings(host="0.0.0.0").open_to_readers
    assert Settings(host="0.0.0.0", pages_open=True).open_to_readers


def test_a_secret_is_never_repeated():
    with pytest.raises(SettingsError) as caught:
        load(None, {}, {"receivers": [{"name": "r", "url": "u", "secret": 99}], "state_url": 77})
    assert (
        "state_url: " in str(caught.value) and "77" not in str(caught.value) and "99" not in str(caught.value)
    )


def test_an_impossible_combination_does_not_repeat_all_settings():
    given = {"evaluation_seconds": 60, "sample_lag_seconds": 60, "state_url": "postgresql://u:hidden@h/x"}
    with pytest.raises(SettingsError) as caught:
        load(None, {}, given)
    assert "hidden" not in str(caught.value)


def test_an_unknown_key_of_a_receiver_names_those_that_receivers_have():
    with pytest.raises(SettingsError, match=r"receivers\.0\.uri: unknown key; known keys are name, url"):
        load(None, {}, {"receivers": [{"name": "r", "url": "u", "uri": "u"}]})


def test_two_receivers_of_one_name_are_refused():
    twice = [{"name": "r", "url": "http://a"}, {"name": "r", "url": "http://b"}]
    with pytest.raises(SettingsError, match="two receivers are called r"):
        load(None, {}, {"receivers": twice})


def test_links_in_alerts_must_lead_somewhere():
    with pytest.raises(SettingsError, match="external_url"):
        load(None, {}, {"external_url": "inferometer.example.org"})


def test_the_price_of_a_kilowatt_hour_is_exact_and_must_be_one():
    assert load(None, {"INFEROMETER_KWH_PRICE": "0.104"}, {}).nano_per_kwh == 104_000_000
    assert load(None, {}, {}).nano_per_kwh is None
    with pytest.raises(SettingsError, match="kwh_price"):
        load(None, {"INFEROMETER_KWH_PRICE": "cheap"}, {})
