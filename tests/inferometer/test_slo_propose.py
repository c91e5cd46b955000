"""`inferometer slo propose`: drafts that `slo check` accepts, or a refusal to guess."""

from __future__ import annotations


def test_drafts_are_objectives_marked_as_guesses(process, cli, recording, tmp_path):
    rows = [f"1,{at},{1786146446 + at},0.3,1.5,100,11,ok," for at in range(1_000)]
    assert process("import", recording(rows=rows), "--into", "incident").code == 0
    said = process("slo", "propose", "--dir", "incident")
    assert said.code == 0 and "guesses" in said.err
    assert said.out.count("inferometer/guess: 'true'") == said.out.count("kind: SLO") == 4
    (tmp_path / "drafts.yaml").write_text(said.out)
    checked = cli("slo", "check", "drafts.yaml")
    assert checked.code == 0 and "99 % of requests: first token within 300ms, over 30d" in checked.out
    assert "A guess from 1,000 requests in" in said.out


def test_a_service_without_requests_has_nothing_to_guess_from(cli, admin):
    said = cli("slo", "propose")
    assert said.code == 1 and "no request is kept of that time" in said.err
