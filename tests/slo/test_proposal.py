"""Drafts from traffic: the strictest round promise that was kept with room to spare, or none."""

from __future__ import annotations

from decimal import Decimal

import pytest

from slo.cells import fold, merge
from slo.proposal import HEADROOM, LEAST_REQUESTS, counted, proposed
from telemetry.requests import Status

SECOND = 1_000_000


@pytest.fixture
def served(requests_frame):
    """Return requests of one model: so many good ones of 0.4 s to the first token, and others."""

    def make(good, *others, model="llama"):
        usual = {
            "model": model,
            "ttft_us": 400_000,
            "e2e_us": 2 * SECOND,
            "output_tokens": 101,
            "stream": True,
        }
        rows = [usual] * good + [usual | other for other, count in others for _ in range(count)]
        return requests_frame(*rows)

    return make


def by_kind(proposal):
    return {draft.objective.indicator.kind: draft for draft in proposal.drafts}


def test_the_strictest_limit_that_was_kept_with_room_to_spare(served):
    """5 of 2,000 took 0.9 s: within 500 ms 99 % has a budget of 20, four times what was spent."""
    drafts = by_kind(proposed(counted(served(1_995, ({"ttft_us": 900_000}, 5)))))
    ttft = drafts["ttft"].objective
    assert (ttft.indicator.limit_us, ttft.target) == (500_000, Decimal("0.99"))
    assert (drafts["ttft"].good, drafts["ttft"].total, drafts["ttft"].hours) == (1_995, 2_000, 1)
    assert drafts["tpot"].objective.indicator.limit_us == 20_000
    assert drafts["e2e"].objective.indicator.limit_us == 2 * SECOND


def test_a_limit_whose_budget_was_half_spent_twice_over_is_not_drafted(served):
    """11 of 2,000 took 0.9 s: more than half of 20."""
    drafts = by_kind(proposed(counted(served(1_989, ({"ttft_us": 900_000}, 11)))))
    assert drafts["ttft"].objective.indicator.limit_us == SECOND


def test_the_highest_availability_that_the_number_of_requests_can_tell(served):
    """2,000 requests without failure speak for 99.5 %, ten bad ones, and for no more."""
    assert by_kind(proposed(counted(served(2_000))))["availability"].objective.target == Decimal("0.995")
    failing = served(1_980, ({"status": Status.ERROR, "ttft_us": None}, 20))
    assert by_kind(proposed(counted(failing)))["availability"].objective.target == Decimal("0.95")


def test_too_few_requests_are_said_and_nothing_is_drafted(served):
    proposal = proposed(counted(served(LEAST_REQUESTS - 1)))
    assert proposal.drafts == () and proposal.too_few == (("llama", LEAST_REQUESTS - 1),)
    assert proposed([]).drafts == ()


def test_every_draft_would_have_kept_at_least_half_its_budget(served):
    frame = served(
        3_000, ({"ttft_us": 9 * SECOND, "e2e_us": 12 * SECOND}, 100), ({"status": Status.ERROR}, 7)
    )
    for draft in proposed(counted(frame)).drafts:
        assert draft.objective.guess
        good, total = fold(frame, draft.objective).sums()
        assert (good, total) == (draft.good, draft.total)
        assert (total - good) * HEADROOM <= total * (1 - draft.objective.target)


def test_parts_of_the_traffic_add_up_to_the_same_drafts(served):
    parts = [counted(served(1_200)), counted(served(900, ({"ttft_us": 900_000}, 5)))]
    together = [merge(pair) for pair in zip(*parts, strict=True)]
    assert proposed(together) == proposed(counted(served(2_100, ({"ttft_us": 900_000}, 5))))


def test_models_whose_names_would_be_one_get_names_of_their_own(served):
    frames = [counted(served(1_000, model=model)) for model in ("Org/Model-7B", "org model 7b", "模型")]
    together = [merge(merge_of) for merge_of in zip(*frames, strict=True)]
    names = [draft.objective.name for draft in proposed(together).drafts]
    assert len(set(names)) == len(names) and "org-model-7b-ttft-2" in names and "ttft" in names
