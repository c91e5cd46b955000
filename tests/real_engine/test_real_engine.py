"""A real engine behind the proxy: every record is right. Times are told by the benchmark, not judged."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.real_engine


def test_every_request_of_a_real_engine_is_recorded_as_its_client_saw_it(repository):
    engine = repository / ".real-engine" / "bin" / "python"
    if not engine.exists():
        pytest.skip("no real engine here: run `make real-engine`")
    ended = subprocess.run(
        [sys.executable, "benchmarks/real_engine.py", "--engine", str(engine)],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = json.loads(ended.stdout)
    assert (told["requests"], told["records"], told["aborted"], told["wrong"]) == (500, 500, 50, {})
