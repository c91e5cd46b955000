"""Joint goodput of the recorded vLLM runs equals an independent recount, request by request."""

from __future__ import annotations

import csv
import gzip
from decimal import Decimal

import numpy as np
import pytest

from slo.cells import fold
from slo.indicators.availability import Availability
from slo.indicators.goodput import Goodput, Semantics
from slo.indicators.token_goodput import TokenGoodput
from slo.indicators.tpot import Tpot
from slo.indicators.ttft import Ttft
from telemetry.frame import Frame, Numbers, Texts
from telemetry.units import micros

RUNS = {
    "roundrobin": "vllm-2xA10-20260808-044202-roundrobin",
    "kvaware": "vllm-2xA10-20260808-023919-kvaware",
    "loadaware": "vllm-2xA10-20260808-025932-loadaware-b0.5",
}
MLPERF_MS = (
    (2000, 100), (500, 30), (2000, 200), (450, 40), (6000, 175), (4500, 80),
    (2000, 200), (2000, 80), (1500, 15), (3000, 80), (2000, 20),
)  # fmt: skip


@pytest.fixture(scope="module")
def recorded(shared):
    def read(run):
        with gzip.open(shared / "traces/nolicence" / RUNS[run] / "requests.csv.gz", "rt") as lines:
            return list(csv.DictReader(lines))

    return {run: read(run) for run in RUNS}


def numbers(texts, read):
    values = [read(text) if text else None for text in texts]
    valid = np.array([value is not None for value in values])
    return Numbers(np.array([value or 0 for value in values], dtype=np.int64), valid)


def frame_of(rows):
    """Return rows of a run with the columns these indicators read."""
    count = len(rows)
    ok = np.array([row["status"] != "ok" for row in rows], dtype=np.int32)
    ended = [Decimal(row["send_ts"]) + Decimal(row["e2e_s"] or 0) for row in rows]
    everywhere = np.ones(count, dtype=np.bool_)
    columns = {
        "ended_at_us": Numbers(np.array([micros(at) for at in ended]), everywhere),
        "ttft_us": numbers([row["ttft_s"] for row in rows], micros),
        "e2e_us": numbers([row["e2e_s"] for row in rows], micros),
        "output_tokens": numbers([row["completion_tokens"] for row in rows], int),
        "status": Texts(ok, ("ok", "error")),
        "vantage": Texts(np.zeros(count, dtype=np.int32), ("edge",)),
        "http_status": Numbers(np.zeros(count, dtype=np.int64), ~everywhere),
        "synthetic": Numbers(np.zeros(count, dtype=np.int64), everywhere),
        "stream": Numbers(np.ones(count, dtype=np.int64), everywhere),
    }
    return Frame("requests", count, columns)


def good_by_hand(rows, ttft_s, tpot_s):
    """Recount with decimals of the recorded text, by division, one request at a time."""
    good = 0
    for row in rows:
        if row["status"] != "ok":
            continue
        ttft, tokens = Decimal(row["ttft_s"]), int(row["completion_tokens"])
        pace = (Decimal(row["e2e_s"]) - ttft) / (tokens - 1) if tokens > 1 else Decimal(0)
        good += (ttft_s is None or ttft <= ttft_s) and (tpot_s is None or pace <= tpot_s)
    return good


@pytest.mark.shared
@pytest.mark.parametrize(
    ("run", "good", "failed"), [("roundrobin", 1_710, 5), ("kvaware", 8_186, 54), ("loadaware", 9_542, 35)]
)
def test_joint_goodput_and_availability(recorded, objective_of, run, good, failed):
    frame = frame_of(recorded[run])
    joint = objective_of(indicator=Goodput(ttft_us=2_000_000, tpot_us=100_000))
    assert fold(frame, joint).sums() == (good, 10_000)
    assert fold(frame, objective_of(indicator=Availability())).sums() == (10_000 - failed, 10_000)


@pytest.mark.shared
def test_all_mlperf_limits_alone_and_jointly_equal_a_recount(recorded, objective_of):
    jointly = []
    for run, rows in recorded.items():
        frame = frame_of(rows)
        for ttft_ms, tpot_ms in MLPERF_MS:
            ttft_us, tpot_us = ttft_ms * 1_000, tpot_ms * 1_000
            ttft_s, tpot_s = Decimal(ttft_ms) / 1_000, Decimal(tpot_ms) / 1_000
            both = fold(frame, objective_of(indicator=Goodput(ttft_us=ttft_us, tpot_us=tpot_us))).sums()
            assert both == (good_by_hand(rows, ttft_s, tpot_s), 10_000)
            alone = fold(frame, objective_of(indicator=Ttft(ttft_us))).sums()
            assert alone == (good_by_hand(rows, ttft_s, None), 10_000)
            alone = fold(frame, objective_of(indicator=Tpot(tpot_us))).sums()
            assert alone == (good_by_hand(rows, None, tpot_s), 10_000)
            jointly += [both[0]] if run == "roundrobin" else []
    assert jointly == [1710, 146, 3335, 332, 3236, 1456, 3335, 1326, 0, 1403, 0]


def good_by_aiperf(row, ttft_s, tpot_s):
    """Apply AIPerf's rule: every value must be there and within its limit; no pace below two tokens."""
    tokens = int(row["completion_tokens"] or 0)
    if row["status"] != "ok" or not row["ttft_s"] or tokens < 2:
        return False
    ttft = Decimal(row["ttft_s"])
    return ttft <= ttft_s and (Decimal(row["e2e_s"]) - ttft) / (tokens - 1) <= tpot_s


@pytest.mark.shared
def test_aiperfs_goodput_and_the_tokens_in_good_answers_equal_a_recount(recorded, objective_of):
    for rows in recorded.values():
        frame = frame_of(rows)
        for ttft_ms, tpot_ms in MLPERF_MS:
            limits = {"ttft_us": ttft_ms * 1_000, "tpot_us": tpot_ms * 1_000}
            ttft_s, tpot_s = Decimal(ttft_ms) / 1_000, Decimal(tpot_ms) / 1_000
            joint = Goodput(**limits, semantics=Semantics.AIPERF)
            good = [row for row in rows if good_by_aiperf(row, ttft_s, tpot_s)]
            assert fold(frame, objective_of(indicator=joint)).sums() == (len(good), 10_000)
            kept = sum(int(row["completion_tokens"]) for row in rows if good_by_hand([row], ttft_s, tpot_s))
            tokens = fold(frame, objective_of(indicator=TokenGoodput(**limits))).sums()
            assert tokens[0] == kept
            given = (int(row["completion_tokens"] or 0) for row in rows if row["status"] == "ok")
            assert tokens[1] == sum(given) + sum(row["status"] != "ok" for row in rows)
