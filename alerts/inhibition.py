"""Inhibition: while a cause fires, its consequences are not sent (Alertmanager's inhibit rules)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alerts.matchers import Matcher, all_match


@dataclass(frozen=True, slots=True, kw_only=True)
class InhibitRule:
    """A firing alert that passes `source` mutes those that pass `target` and agree on `equal`.

    As in Alertmanager an alert that passes both sides is not muted by another such alert,
    so nothing mutes itself, and a label missing on both sides counts as equal.
    """

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()


def inhibited_by(
    rules: Iterable[InhibitRule], firing: Iterable[Mapping[str, str]], labels: Mapping[str, str]
) -> Mapping[str, str] | None:
    """Return the labels of a firing alert that mutes this one; None = none does."""
    causes = tuple(firing)
    for rule in rules:
        if not all_match(rule.target, labels):
            continue
        both_sides = all_match(rule.source, labels)
        for cause in causes:
            if _mutes(rule, cause, labels) and not (both_sides and all_match(rule.target, cause)):
                return cause
    return None


def _mutes(rule: InhibitRule, cause: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    agree = all(cause.get(name, "") == labels.get(name, "") for name in rule.equal)
    return agree and all_match(rule.source, cause)
