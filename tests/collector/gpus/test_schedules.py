"""GPUs lost, reset and reloaded by seeded schedules; benchmarks/gpu_schedules.py runs 1,000."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SEEDS, AT_ONCE = 500, 50


@pytest.fixture(scope="module")
def schedules():
    path = Path(__file__).resolve().parents[2] / "fake_nvml" / "schedules.py"
    spec = importlib.util.spec_from_file_location("fake_nvml_schedules", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_no_schedule_makes_a_reading_say_what_is_not_true(make_driver, schedules, first):
    wrong = {}
    for seed in range(first, first + AT_ONCE):
        outcome = schedules.Schedule(make_driver(gpus=1 + seed % 4), seed).run()
        wrong |= {seed: outcome.wrong[:3]} if outcome.wrong else {}
        assert outcome.samples
    assert wrong == {}
