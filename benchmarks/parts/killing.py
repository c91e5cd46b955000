"""Kill -9, by process id."""

from __future__ import annotations

import signal

from inferometer.processes import Child


def kill(child: Child) -> None:
    """Kill a process with signal 9 and wait until it is gone."""
    child.process.send_signal(signal.SIGKILL)
    child.process.wait()
