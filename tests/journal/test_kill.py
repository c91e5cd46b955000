"""kill -9 at any moment: every acknowledged batch is there exactly once."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

CHILD = Path(__file__).with_name("appending_child.py")
KILLS = 5


def _run_and_kill(path: Path, boot: str, seconds: float) -> set[int]:
    """Return the seqs that a killed process had acknowledged."""
    command = [sys.executable, str(CHILD), str(path), boot]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"open\n"
        time.sleep(seconds)
        child.kill()
        said = child.stdout.read()
    whole_lines = said[: said.rfind(b"\n") + 1].split()
    return {int(line) for line in whole_lines}


def test_every_acknowledged_batch_survives_exactly_once(path, open_journal):
    acknowledged = {
        f"boot-{kill}": _run_and_kill(path, f"boot-{kill}", random.uniform(0.02, 0.4))
        for kill in range(KILLS)
    }
    assert sum(map(len, acknowledged.values())) > KILLS
    journal = open_journal(readers=("store",))
    found: dict[str, list[int]] = {boot: [] for boot in acknowledged}
    after = 0
    while entries := journal.read(after):
        after = entries[-1].entry_id
        for entry in entries:
            assert entry.body == (f"{entry.boot}/{entry.seq}/" * 500).encode()
            found[entry.boot].append(entry.seq)
    for boot, seqs in found.items():
        assert len(seqs) == len(set(seqs))
        assert acknowledged[boot] <= set(seqs)
    assert journal.stats().counts.damaged == 0
