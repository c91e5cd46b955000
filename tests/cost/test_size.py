from __future__ import annotations

import time

import numpy as np

from cost.attribution import Window, attribute


def test_ten_thousand_requests_are_billed_well_within_a_second(demand, replica, a10, make_request):
    random = np.random.default_rng(7)
    starts = np.sort(random.uniform(0, 990, 10_000))
    records = [
        make_request(f"{number:05}", start, start + length, tenant=str(number % 20))
        for number, (start, length) in enumerate(
            zip(starts, random.exponential(0.1, 10_000) + 0.01, strict=True)
        )
    ]
    offered = demand(records)
    fleet, window = [replica(gpus=("GPU-a", "GPU-b"))], Window(0, 1_000_000_000, 60_000_000)
    began = time.process_time()
    ledger = attribute(fleet, offered, prices=a10, window=window)
    took = time.process_time() - began
    assert ledger.total() == 2 * (1_000 * 1_100_000_000 // 3_600)
    assert took < 1.0, f"{took:.2f} s"
