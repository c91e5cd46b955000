"""The command that asks an engine the same again and again."""


def test_an_address_that_is_none_is_refused_before_anything_is_asked(cli):
    said = cli("probe", "nonsense", "--model", "m")
    assert said.code == 2 and "http:// or https://" in said.err


def test_an_engine_that_is_not_there_is_counted_as_failed(cli, tmp_path):
    told = ("--times", "2", "--every-seconds", "0", "--socket", tmp_path / "none.sock")
    said = cli("probe", "http://127.0.0.1:9", "--model", "m", *told)
    assert said.code == 0 and "2 failed" in said.out
