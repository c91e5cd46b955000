"""A process that appends for ever and prints what was acknowledged: `path boot`. To be killed."""

from __future__ import annotations

import os
import sys
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from journal import Journal, Limits, Sealed


def main(path: str, boot: str) -> None:
    journal = Journal.open(Path(path), Limits(ballast_bytes=0), readers=("store",))
    os.write(1, b"open\n")
    waiting: deque = deque()
    for number in range(1_000_000):
        seq = number // 2  # every batch is offered twice
        body = (f"{boot}/{seq}/" * 500).encode()
        batch = Sealed(agent="alice", boot=boot, seq=seq, received_at_us=seq, body=body)
        waiting.append((seq, journal.append(batch)))
        if len(waiting) == 16:
            acknowledged, future = waiting.popleft()
            future.result()
            os.write(1, b"%d\n" % acknowledged)


main(sys.argv[1], sys.argv[2])
