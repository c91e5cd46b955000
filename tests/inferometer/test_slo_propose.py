"""`inferometer slo propose`: drafts that `slo check` accepts, or a refusal to guess."""

from __future__ import annotations

import pytest


@pytest.fixture
def imported(process, recording):
    def make(requests):
        rows = [f"1,{at},{1786146446 + at},0.3,1.5,100,11,ok," for at in range(requests)]
        assert process("import", recording(rows=rows), "--into", "incident").code == 0
        return "incident"

    return make


def test_drafts_are_objectives_marked_as_guesses(process, imported, tmp_path):
    said = process("slo", "propose", "--dir", imported(1_000))
    assert said.code == 0 and "guesses" in said.err
    assert said.out.count("inferometer/guess: 'true'") == said.out.count("kind: SLO") == 4
    (tmp_path / "drafts.yaml").write_text(said.out)
    checked = process("slo", "check", "drafts.yaml")
    assert checked.code == 0 and "99 % of requests: first token within 300ms, over 30d" in checked.out
    assert "A guess from 1,000 requests in" in said.out


def test_too_little_is_refused(process, imported):
    said = process("slo", "propose", "--dir", imported(10))
    assert said.code == 1 and not said.out
    assert "10 requests are too few to guess from, 1,000 are needed" in said.err


def test_a_service_without_requests_has_nothing_to_guess_from(cli, admin):
    said = cli("slo", "propose")
    assert said.code == 1 and "no request is kept of that time" in said.err
