"""`make gpu-check` over the fake driver, and where there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def check(environment):
    clean = {key: text for key, text in os.environ.items() if key != "LD_LIBRARY_PATH"}
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_check.py"), "--seconds", "3"]
    return subprocess.run(
        command, env={**clean, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True, check=False
    )  # fmt: skip


def test_every_figure_is_told_where_a_gpu_answers(fake_nvml, nvml_builds, tmp_path):
    driver = fake_nvml.Driver.create(tmp_path / "state", gpus=1)
    tmp_path.chmod(0o755)
    (tmp_path / "state").chmod(0o666)
    done = check(driver.environment(fake_nvml.build(nvml_builds)))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[0])
    (gpu,) = told["gpus"].values()
    assert gpu["call_us"]["utilization"]["median"] > 0
    assert gpu["bandwidth_gb_s"] == 3_352.3
    assert told["gpm"]["told"]["2 sm"] == 61.0 and told["gpm"]["told"]["248 sm_cycles_elapsed"] == 1_000.0
    assert told["gpm"]["told"]["260 fp16"] == "NVML 3"
    assert {"known_load", "polling", "gpm_without_root"} <= told.keys()
    assert "every tick within bounds" in done.stdout


def test_a_host_without_a_driver_is_said_to_be_one():
    done = check({})
    if '"driver"' in done.stdout:
        pytest.skip("this host has an NVIDIA driver")
    assert done.returncode == 0
    assert "no NVIDIA GPU can be read here, nothing was checked" in done.stdout
