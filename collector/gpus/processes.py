"""Which processes compute on which GPU, as the driver tells it.

The process ids are those of the host's own namespace: `collector.placement.processes` says whether they
mean anything where the agent runs. Milliseconds a GPU: asked seldom.
"""

from __future__ import annotations

import pynvml

from collector.gpus.nvml import LOST, DriverError, Session, ask, call


def compute_processes(session: Session) -> dict[str, tuple[int, ...]]:
    """Return the process ids on each GPU by UUID; a GPU that does not tell is left out.

    Empty ids = nothing computes there. Raises `DriverError` or `DriverBusy`.
    """
    running: dict[str, tuple[int, ...]] = {}
    with session.use():
        for index in range(call(pynvml.nvmlDeviceGetCount)):
            try:
                handle = call(pynvml.nvmlDeviceGetHandleByIndex, index)
                told = ask(pynvml.nvmlDeviceGetComputeRunningProcesses_v3, handle)
                if told is not None:
                    running[call(pynvml.nvmlDeviceGetUUID, handle)] = tuple(sorted(one.pid for one in told))
            except DriverError as error:
                if error.code not in LOST:
                    raise
    return running
