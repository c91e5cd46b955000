"""Tier C against the Monte-Carlo Shapley value of a simulated engine."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from cost.attribution import Window, attribute
from cost.fleet import Coefficients

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def truth(shared):
    with (shared / "fixtures/cost/shapley_requests.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def steps(shared):
    return np.genfromtxt(shared / "fixtures/cost/shapley_steps.csv", delimiter=",", names=True)


@pytest.fixture(scope="module")
def records(truth, steps, make_request):
    """What an edge would have seen: first step's start, first token, end, token counts."""
    ends = steps["t_start_s"] + steps["step_ns"] / 1e9
    found = []
    for row in truth:
        own = steps["request"] == int(row["request"])
        start, end = float(steps["t_start_s"][own].min()), float(ends[own].max())
        ttft = round((float(ends[own].min()) - start) * 1e6)
        tokens = {name: int(row[name]) for name in ("prompt_tokens", "cached_tokens", "output_tokens")}
        found.append(make_request(row["request"].zfill(3), start, end, ttft_us=ttft, **tokens))
    return found


def fitted(steps):
    """Least squares of the step time on what was in the step: the refit a later service does."""
    number = steps["step"].astype(int)
    columns = [
        np.bincount(number, steps[name]) for name in ("prefill_tokens", "decode_tokens", "context_tokens")
    ]
    table = np.stack([np.ones(number.max() + 1), *columns], axis=1)
    _, first = np.unique(number, return_index=True)
    found, *_ = np.linalg.lstsq(table[np.unique(number)], steps["step_ns"][first], rcond=None)
    step, prefill, decode, context = (max(float(each), 0.0) for each in found)
    return Coefficients(step=step, prefill=prefill, decode=decode, context=context)


def errors(truth, records, coefficients, demand, replica, a10):
    """Return each request's relative error in percent, bill normalised to the Shapley total."""
    end = max(record.ended_at_us for record in records)
    ledger = attribute(
        [replica(coefficients=coefficients)], demand(records), prices=a10, window=Window(0, end)
    )
    paid = np.zeros(len(truth))
    np.add.at(paid, [int(name) for name in ledger.requests.request], ledger.requests.nano)
    fair = np.array([float(row["shapley_s"]) for row in truth])
    return np.abs(paid / paid.sum() * fair.sum() - fair) / fair * 100


@pytest.mark.parametrize("fit", [False, True], ids=["default coefficients", "fitted coefficients"])
def test_request_events_alone_are_near_the_shapley_value(fit, truth, steps, records, demand, replica, a10):
    coefficients = fitted(steps) if fit else Coefficients()
    off = errors(truth, records, coefficients, demand, replica, a10)
    assert np.median(off) <= 10
    assert np.percentile(off, 95) <= 25
