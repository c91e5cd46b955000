"""Fifty lives of `benchmarks/slo_exactness.py`: late, repeated, unordered facts, corrections and crashes."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("seed", range(50))
def test_all_windows_and_budgets_of_a_stream_equal_a_recount(benchmark_named, seed):
    stream = benchmark_named("slo_exactness").lived(seed)
    assert stream.wrong == []
    assert stream.happened["budgets compared"] > 0
