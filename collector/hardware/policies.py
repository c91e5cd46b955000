"""What an Xid means for the GPU that reported it, as four fleets see it: chosen by `--xid-policy`.

Fleets disagree on the same code (NVIDIA's catalogue resets a GPU on 109, the Kubernetes device
plugin ignores it; Azure fails a node on 68, which the catalogue answers with a restart of the
application), so that no single table is right for everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from collector.hardware.xids import CATALOGUE, Action


class Verdict(StrEnum):
    """What an Xid means, mildest first: nothing, the application's trouble, look into it, GPU unfit."""

    IGNORED = "ignored"
    APPLICATION = "application"
    INSPECT = "inspect"
    FATAL = "fatal"

    @property
    def stands(self) -> bool:
        """Tell whether the GPU stays in trouble until there is evidence that it is not."""
        return self in (Verdict.INSPECT, Verdict.FATAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One fleet's rule: verdicts by code, and what any other code means.

    `listens` = the kernel line's own word (Fatal, Nonfatal, a recovery action) goes before the
    table, for the codes whose meaning only that word decides.
    """

    name: str
    source: str
    verdicts: Mapping[int, Verdict]
    otherwise: Verdict
    listens: frozenset[int] = field(default_factory=frozenset)

    def verdict(self, code: int, *, fatal: bool | None = None) -> Verdict:
        """Return what a code means; `fatal` is what its kernel line says, None = nothing."""
        if fatal is not None and code in self.listens:
            return Verdict.FATAL if fatal else Verdict.IGNORED
        return self.verdicts.get(code, self.otherwise)


_BY_ACTION: Final[Mapping[Action, Verdict]] = {
    Action.IGNORE: Verdict.IGNORED,
    Action.RESTART_APP: Verdict.APPLICATION,
    Action.RESET_GPU: Verdict.FATAL,
    Action.RESTART_VM: Verdict.FATAL,
    Action.REBOOT_NODE: Verdict.FATAL,
    Action.WORKFLOW: Verdict.INSPECT,
    Action.CHECK_CABLES: Verdict.INSPECT,
    Action.UPDATE_SOFTWARE: Verdict.INSPECT,
    Action.CONTACT_SUPPORT: Verdict.INSPECT,
    Action.UNKNOWN: Verdict.INSPECT,
}
_NVIDIA: Final = {code: _BY_ACTION[xid.action] for code, xid in CATALOGUE.items()} | {
    45: Verdict.IGNORED,  # applications that end: it raised 672 alarms in 3 hours where it was fatal
    162: Verdict.IGNORED,  # takes 163 back
}
_APPLICATIONS: Final = (13, 31, 43, 45, 68, 109)
_AZURE: Final = (48, 56, 57, 58, 62, 63, 64, 65, 68, 69, 73, 74, 79, 80, 81, 92, 119, 120)

POLICIES: Final[Mapping[str, Policy]] = {
    policy.name: policy
    for policy in (
        Policy(
            name="nvidia",
            source="NVIDIA's Xid catalogue, October 2025; 45 as NVSentinel has it since its issue 1629",
            verdicts=_NVIDIA,
            otherwise=Verdict.INSPECT,
            listens=frozenset((*range(144, 151), 154)),
        ),
        Policy(
            name="k8s",
            source="NVIDIA/k8s-device-plugin, internal/rm/health.go: every other Xid is unhealthy",
            verdicts=dict.fromkeys(_APPLICATIONS, Verdict.IGNORED),
            otherwise=Verdict.FATAL,
        ),
        Policy(
            name="meta",
            source="facebookresearch/gcm, health_checks/check_utils/xid_error_codes.py",
            verdicts=dict.fromkeys((*_APPLICATIONS, 63, 92), Verdict.IGNORED),
            otherwise=Verdict.FATAL,
        ),
        Policy(
            name="azure",
            source="Azure/azurehpc-health-checks, customTests/azure_gpu_xid.nhc",
            verdicts=dict.fromkeys(_AZURE, Verdict.FATAL),
            otherwise=Verdict.IGNORED,
        ),
    )
}
"""The policies by the name an operator chooses them by."""

DEFAULT_POLICY: Final = "nvidia"
