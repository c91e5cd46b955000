"""NVIDIA's catalogue of Xid errors as data: what each of the 172 codes says and what to do first.

Facts from NVIDIA's "Analyzing Xid Errors" catalogue, the edition of October 2025 (the sheet's
column "immediate resolution"); its words shortened. Codes 162 to 172 have no action there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Action(StrEnum):
    """What the catalogue says to do first. `workflow` = it depends on what else was reported."""

    IGNORE = "ignore"
    RESTART_APP = "restart_app"
    RESET_GPU = "reset_gpu"
    RESTART_VM = "restart_vm"
    REBOOT_NODE = "reboot_node"
    WORKFLOW = "workflow"
    CHECK_CABLES = "check_cables"
    UPDATE_SOFTWARE = "update_software"
    CONTACT_SUPPORT = "contact_support"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Xid:
    """One code of the catalogue; `words` is empty for a code that the catalogue calls unused."""

    code: int
    action: Action
    words: str


_NAMED: Final[Mapping[Action, Mapping[int, str]]] = {
    Action.IGNORE: {
        14: "unused",
        37: "driver firmware error",
        38: "driver firmware watchdog",
        43: "GPU stopped processing for one application",
        44: "graphics engine fault during context switch",
        63: "GPU memory remapping event",
        66: "illegal access by driver",
        67: "illegal access by driver",
        92: "high rate of corrected ECC errors",
        93: "InfoROM wear limit",
        106: "test message",
        107: "silent test message",
        108: "NVLink remote translation error",
        121: "C2C link error",
        137: "NVLink privilege error",
        141: "CUDA fast path error",
        152: "DLA SMMU error",
        153: "DLA timeout",
        157: "resource retirement failure",
        160: "channel retirement event",
        161: "channel retirement failure",
    },
    Action.RESTART_APP: {
        8: "GPU stopped processing",
        11: "invalid or corrupted push buffer stream",
        13: "graphics engine exception",
        25: "invalid or illegal push buffer stream",
        31: "GPU memory page fault",
        32: "invalid or corrupted push buffer stream",
        39: "copy engine exception",
        40: "copy engine exception",
        41: "copy engine exception",
        60: "video processor exception",
        68: "video decoder exception",
        69: "graphics engine class error",
        **dict.fromkeys((70, 71, 72, 75, 76, 77, 85, *range(126, 136)), "copy engine error"),
        80: "corrupted data sent to the GPU",
        **dict.fromkeys((82, *range(99, 106)), "JPEG engine error"),
        **dict.fromkeys((83, 84, 88, 89, 96, 97, 98), "video decoder error"),
        86: "optical flow engine exception",
        94: "contained memory error",
        139: "optical flow engine error",
    },
    Action.RESET_GPU: {
        46: "GPU stopped processing",
        62: "micro-controller halt",
        64: "GPU memory remapping failure",
        95: "uncontained memory error",
        109: "context switch timeout",
        110: "security fault",
        119: "GSP RPC timeout",
        120: "GSP error",
        136: "NVLink training failed",
        140: "unrecovered ECC error",
        143: "GPU initialisation error",
        155: "NVLink error defined by software",
        156: "resource retirement event",
        158: "GPU fatal timeout",
    },
    Action.RESTART_VM: {151: "key rotation error"},
    Action.REBOOT_NODE: {79: "GPU has fallen off the bus"},
    Action.WORKFLOW: {
        45: "channels removed after another error or when an application ended",
        48: "double bit ECC error",
        74: "NVLink error",
        144: "NVLink 5 SAW error",
        145: "NVLink 5 RLW error",
        146: "NVLink 5 TLW error",
        147: "NVLink 5 TREX error",
        148: "NVLink 5 NVLPW error",
        149: "NVLink 5 NETIR error",
        150: "NVLink 5 MSE error",
        154: "GPU recovery action changed",
        159: "CHI non-data error",
    },
    Action.CHECK_CABLES: {54: "auxiliary power is not connected"},
    Action.UPDATE_SOFTWARE: {78: "vGPU start error"},
    Action.CONTACT_SUPPORT: {142: "video encoder error"},
    Action.UNKNOWN: {
        162: "power smoothing re-engaged",
        163: "power smoothing disengaged",
        164: "power smoothing: low lifetime",
        165: "power smoothing: lifetime exhausted",
        166: "NVLink traffic before its encryption was set up",
        167: "PCIe fatal timeout",
        168: "reduced GPU memory capacity",
        169: "SEC2 micro-controller halt",
        170: "NVLink interrupt in confidential mode",
        171: "uncorrectable DRAM error (beside 48)",
        172: "uncorrectable SRAM error (beside 48)",
    },
}

LAST_CODE: Final = 172
TAKES_BACK: Final[Mapping[int, int]] = {162: 163}
"""Codes that say that an earlier one no longer holds."""


def _entries() -> Iterator[Xid]:
    for action, codes in _NAMED.items():
        for code, words in codes.items():
            yield Xid(code, action, words)
    named = {code for codes in _NAMED.values() for code in codes}
    for code in range(1, LAST_CODE + 1):
        if code not in named:
            yield Xid(code, Action.CONTACT_SUPPORT, "unused")


CATALOGUE: Final[Mapping[int, Xid]] = {xid.code: xid for xid in sorted(_entries(), key=lambda xid: xid.code)}
"""Every code the catalogue knows, by number."""


def xid_of(code: int) -> Xid:
    """Return what is known of a code; one that is newer than the catalogue has no action."""
    return CATALOGUE.get(code) or Xid(code, Action.UNKNOWN, "not in the catalogue")
