"""What the NVIDIA driver writes into the kernel log: Xid lines, and GPUs gone without one.

NVRM: Xid (PCI:0000:65:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.
NVRM: Xid (0000:03:00): 14, Channel 00000001                                (old drivers)
NVRM: Xid (PCI:0000:01:00 GPU-I:02): 94, pid=7194, name=python3, Contained  (a MIG instance)
NVRM: Xid (PCI:0019:01:00): 145, RLW_SRC_TRACK Nonfatal XC1 i0 Link 12 (0x040988e2 ...)
NVRM: Xid (PCI:0000:65:00): 154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset)
NVRM: GPU 0000:06:00.0: GPU has fallen off the bus.                          (no Xid: told as 79)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

FALLEN_OFF_THE_BUS: Final = 79

_BUS: Final = r"(?P<bus>[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2})(?:\.[0-7])?"
_XID: Final = re.compile(rf"NVRM: Xid \((?:PCI:)?{_BUS}[^)]{{0,40}}\):? (?P<code>\d{{1,5}})\b(?P<rest>.*)")
_GONE: Final = re.compile(
    rf"NVRM: (?:GPU|The NVIDIA GPU) {_BUS}\b.{{0,200}}?fallen off the bus", re.IGNORECASE
)
_PID: Final = re.compile(r"\bpid='?(\d{1,10})\b")
_SEVERITY: Final = re.compile(r"\b(Non-?fatal|Fatal)\b", re.IGNORECASE)
_RECOVERY: Final = re.compile(r"recovery action changed from .{0,60}? to (?:0x)?([0-9a-fA-F]{1,8})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelXid:
    """An Xid as a line tells it. `bus` is a `bus_key`; `pid` None = not told or not known.

    `fatal` is the line's own word, where the driver writes one; None = it says neither.
    `implied` = the line has no Xid and may be a remark beside the one that has.
    """

    bus: str
    code: int
    pid: int | None = None
    fatal: bool | None = None
    implied: bool = False


def bus_key(address: str) -> str:
    """Return a PCI address in one spelling: `00000000:0A:00.0` and `0000:0a:00` are the same GPU."""
    domain, _, rest = address.lower().partition(":")
    return f"{int(domain, 16):04x}:{rest.partition('.')[0]}"


def kernel_xid(line: str) -> KernelXid | None:
    """Return the Xid that a line of the kernel log tells, whatever stands before it; None = none."""
    found = _XID.search(line)
    if found is None:
        gone = _GONE.search(line)
        if gone is None:
            return None
        return KernelXid(bus=bus_key(gone["bus"]), code=FALLEN_OFF_THE_BUS, implied=True)
    rest = found["rest"]
    pid = _PID.search(rest)
    return KernelXid(
        bus=bus_key(found["bus"]),
        code=int(found["code"]),
        pid=int(pid[1]) if pid else None,
        fatal=_fatal(rest),
    )


def _fatal(text: str) -> bool | None:
    """Return the driver's own word on how bad it is: a severity, or the recovery it now asks for."""
    asked = _RECOVERY.search(text)
    if asked:
        return int(asked[1], 16) != 0
    said = _SEVERITY.search(text)
    return None if said is None else said[1].lower() == "fatal"
