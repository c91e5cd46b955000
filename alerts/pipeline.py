"""Why a notification is not sent: an ordered list of stages, each answering with a reason.

The order is data (`STAGES`), as in Alertmanager's notify package. A notification is held back
only when every alert in it is: telling too much is better than losing one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from alerts.inhibition import InhibitRule, inhibited_by
from alerts.notification import NotifiedAlert
from alerts.ports import Claim
from alerts.silences import Silence, silenced_by
from telemetry.units import MICROS_PER_SECOND

LOOK_AGAIN_US: Final = 30 * MICROS_PER_SECOND
"""How long a held notification rests before the stages see it again, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What stands while notifications are sent.

    `firing` maps incidents to their labels (alertname and severity among them), as they are in
    the rows: after a start, before anything is judged, it already holds what fired before.
    """

    silences: tuple[Silence, ...] = ()
    inhibit_rules: tuple[InhibitRule, ...] = ()
    firing: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an alert is not sent. `until_us` None = never will be, else when to look again."""

    stage: str
    text: str
    until_us: int | None


Stage = Callable[[NotifiedAlert, Claim, Context, int], Reason | None]


def unannounced(alert: NotifiedAlert, claim: Claim, context: Context, now_us: int) -> Reason | None:
    """Hold back a resolve whose firing this receiver was never told of."""
    del context, now_us
    if alert.ends_at_us is None or alert.incident in claim.announced:
        return None
    return Reason("unannounced", "its firing was not sent to this receiver", None)


def inhibited(alert: NotifiedAlert, claim: Claim, context: Context, now_us: int) -> Reason | None:
    """Hold back a firing alert while another alert explains it."""
    if alert.ends_at_us is not None:
        return None
    others = (labels for incident, labels in context.firing.items() if incident != alert.incident)
    cause = inhibited_by(context.inhibit_rules, others, alert.labels)
    if cause is None:
        return None
    over = _over(alert, claim, context, now_us)
    return _held("inhibited", f"explained by {cause.get('alertname', '?')}", over=over, now_us=now_us)


def silenced(alert: NotifiedAlert, claim: Claim, context: Context, now_us: int) -> Reason | None:
    """Hold back a firing alert while a silence covers it."""
    silence = silenced_by(context.silences, alert.labels, now_us)
    if silence is None or alert.ends_at_us is not None:
        return None
    text = f"silence {silence.id} by {silence.created_by}: {silence.comment or 'no comment'}"
    return _held("silenced", text, over=_over(alert, claim, context, now_us), now_us=now_us)


def _over(alert: NotifiedAlert, claim: Claim, context: Context, now_us: int) -> bool:
    """Tell whether an incident has ended. A fresh decision may be newer than the context."""
    fresh = now_us - claim.notification.created_at_us < LOOK_AGAIN_US
    return alert.incident not in context.firing and not fresh


def _held(stage: str, why: str, *, over: bool, now_us: int) -> Reason:
    """Come back to it while its incident lasts; forget it when that is over."""
    if over:
        return Reason(stage, f"over while held back ({why})", None)
    return Reason(stage, why, now_us + LOOK_AGAIN_US)


STAGES: Final[tuple[Stage, ...]] = (unannounced, inhibited, silenced)


def suppressed(claim: Claim, context: Context, now_us: int) -> Reason | None:
    """Return why a claimed notification must not be sent now; None = send it."""
    reasons: list[Reason] = []
    for alert in claim.notification.alerts:
        found = (stage(alert, claim, context, now_us) for stage in STAGES)
        reason = next((each for each in found if each is not None), None)
        if reason is None:
            return None
        reasons.append(reason)
    waiting = [reason for reason in reasons if reason.until_us is not None]
    return min(waiting, key=lambda each: each.until_us or 0) if waiting else reasons[0]
