"""Drafts written as OpenSLO read back as the objectives they are, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.objectives.files import parse
from service.past.proposing import openslo, sentences
from slo.proposal import Proposal, counted, proposed
from telemetry.frame import Frame
from telemetry.requests import RequestRecord, Status


@pytest.fixture(scope="module")
def proposal():
    usual = RequestRecord(
        request_id="r",
        model="org/Chat 7B: 'it'",
        status=Status.OK,
        stream=True,
        started_at_us=0,
        ended_at_us=1,
        e2e_us=1_400_000,
        ttft_us=150_000,
        output_tokens=101,
    )
    few = [replace(usual, model="small")] * 10
    return proposed(counted(Frame.of("requests", [usual] * 1_000 + few)))


def test_what_is_written_is_read_as_the_same_objectives(proposal):
    assert parse(openslo(proposal), "drafts") == tuple(draft.objective for draft in proposal.drafts)
    assert len(proposal.drafts) == 4


def test_models_with_too_little_are_named_with_how_much_it_takes(proposal):
    told = sentences(proposal)
    assert told[0] == "small: 10 requests are too few to guess from, 1,000 are needed"
    assert told[1].startswith("4 guesses: ")


def test_nothing_to_guess_from_is_said(proposal):
    nothing = Proposal((), ())
    assert openslo(nothing) == "" and "nothing to guess from" in sentences(nothing)[0]
