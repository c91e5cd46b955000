"""What an Xid event says, and how what it says is read again: one sentence, written and read here only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from collector.hardware.policies import Verdict
from collector.hardware.reports import Report
from collector.hardware.xids import Action, xid_of
from telemetry.identity import is_real_uuid

_DO: Final[Mapping[Action, str]] = {
    Action.IGNORE: "nothing to do",
    Action.RESTART_APP: "restart the application",
    Action.RESET_GPU: "reset the GPU",
    Action.RESTART_VM: "restart the VM",
    Action.REBOOT_NODE: "reboot the node",
    Action.WORKFLOW: "see NVIDIA's workflow for it",
    Action.CHECK_CABLES: "check the power cables",
    Action.UPDATE_SOFTWARE: "update driver and firmware",
    Action.CONTACT_SUPPORT: "contact support",
    Action.UNKNOWN: "NVIDIA's catalogue names no action",
}
_SAID: Final = re.compile(rf"Xid \d+[^,]*, ({'|'.join(Verdict)}): ")


def xid_sentence(report: Report, verdict: Verdict) -> str:
    """Return what happened, how bad it is, and what to do about it."""
    xid = xid_of(report.code)
    where = "" if is_real_uuid(report.gpu) else f" at PCI {report.gpu}"
    pid = f"; process {report.pid}" if report.pid else ""
    return f"Xid {report.code}{where}, {verdict}: {xid.words}; {_DO[xid.action]}{pid}"


def said_verdict(message: str) -> Verdict | None:
    """Return the verdict an `xid_sentence` says; None for a message that is none."""
    found = _SAID.match(message)
    return Verdict(found[1]) if found else None
