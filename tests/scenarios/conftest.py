"""Whole processes for the scenarios: started from this tree, bounded, ended by their ids."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def tree(repository):
    """Return the environment in which this tree's own packages are the ones that run."""
    return {**os.environ, "PYTHONPATH": str(repository)}


@pytest.fixture
def benchmark(repository, tree):
    """Run a benchmark script, check that it found no fault, and return its figures."""

    def run(script: str, *options: str, seconds: float):
        command = [sys.executable, str(repository / "benchmarks" / script), *options]
        done = subprocess.run(
            command, check=False, env=tree, cwd=repository, capture_output=True, text=True, timeout=seconds
        )
        told = f"{script} {' '.join(options)}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert done.returncode == 0, told
        assert "Traceback" not in done.stderr, told
        return json.loads(done.stdout.splitlines()[-1])

    return run
