"""`inferometer load` says what is wrong with a trace, and lists what did not end well."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from inferometer.main import app
from inferometer.saying import Failure

TRACE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n"


def _run(*arguments: str):
    return CliRunner().invoke(app, ["load", *arguments, "--model", "m", "--seconds", "5"])


@pytest.mark.parametrize(("text", "cause"), [(None, "No such file"), ("a,b\n1,2\n", "no column TIMESTAMP")])
def test_a_trace_that_cannot_be_played_is_named_with_its_cause(tmp_path, text, cause):
    trace = tmp_path / "trace.csv"
    if text is not None:
        trace.write_text(text)
    answer = _run(str(trace), "--target", "http://127.0.0.1:1")
    assert isinstance(answer.exception, Failure)
    assert cause in str(answer.exception)


def test_requests_that_did_not_end_well_are_listed(tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text(TRACE)
    answer = _run(str(trace), "--target", "http://127.0.0.1:1")
    assert answer.exit_code == 0
    assert "1 cut" in answer.output
