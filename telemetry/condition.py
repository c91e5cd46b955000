"""What an alert watches: one named thing that holds, does not hold, or is not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """Whether to wake a person or to file a ticket."""

    PAGE = "page"
    TICKET = "ticket"


class Holds(StrEnum):
    """Whether a condition holds. Unknown freezes an alert: absence never resolves one."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A judged condition at one evaluation.

    `name` is the rule (an objective's name, a finding's class); `labels` identify the
    instance and never change while it holds; `annotations` are sentences and figures for
    people and may change. `since_us` is the first bad fact, UTC, None when it never held.
    """

    name: str
    labels: Mapping[str, str]
    severity: Severity
    holds: Holds
    since_us: int | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
