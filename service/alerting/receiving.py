"""Who is told: the receivers of the state store as live webhooks, and the routes to them.

Every receiver gets every alert, grouped by alertname and pool. Receivers added by the command
line while the service runs are seen at the next look.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from alerts.errors import AlertsError, ConfigurationError
from alerts.inhibition import InhibitRule
from alerts.matchers import Matcher
from alerts.receivers import Receiver
from alerts.receivers.webhook import Webhook, new_secret
from alerts.routing import Route
from service.clock import now_us
from service.settings import ReceiverSettings
from service.store.silences import StoredReceiver
from service.store.state import State
from slo.objective import Objective
from telemetry.condition import Severity

GROUP_BY = ("alertname", "pool", "objective", "severity")
KIND = "webhook"


def page_before_ticket(objectives: Iterable[Objective]) -> InhibitRule:
    """Return the rule that the page of an objective and group says all that its ticket would."""
    groups = sorted({column for objective in objectives for column in objective.group_by})
    return InhibitRule(
        source=(Matcher("severity", "=", Severity.PAGE),),
        target=(Matcher("severity", "=", Severity.TICKET), Matcher("objective", "!=", "")),
        equal=("alertname", "objective", *groups),
    )


class Receiving(Mapping[str, Receiver]):
    """The receivers by name, as `alerts.delivery` wants them. Thread-safe."""

    def __init__(self, state: State, *, external_url: str) -> None:
        self._state, self._external_url = state, external_url
        self._made: dict[StoredReceiver, Webhook] = {}
        self._lock = threading.Lock()

    def keep(self, given: Sequence[ReceiverSettings], *, tell: Callable[[str], None]) -> None:
        """Keep the receivers of the settings; a missing secret is made and told once.

        Raises `ConfigurationError` naming a receiver that cannot be used.
        """
        known = {stored.name: stored for stored in self._state.receivers.listed()}
        for each in given:
            before = known.get(each.name)
            secret = each.secret or (before.secret if before else new_secret())
            stored = StoredReceiver(
                name=each.name, kind=KIND, url=each.url, secret=secret, allow_private=each.allow_private
            )
            try:
                self._webhook(stored)
            except AlertsError as error:
                raise ConfigurationError(f"receiver {each.name}: {error}") from error
            self._state.receivers.keep(stored, now_us=now_us())
            if before is None and each.secret is None:
                tell(f"receiver {each.name}: webhook secret, shown once: {secret}")

    def routes(self) -> Sequence[Route]:
        """Return one root route for each receiver. One query."""
        return [Route(receiver=name, group_by=GROUP_BY) for name in self]

    def _webhook(self, stored: StoredReceiver) -> Webhook:
        with self._lock:
            if stored not in self._made:
                self._made = {kept: made for kept, made in self._made.items() if kept.name != stored.name}
                self._made[stored] = Webhook(
                    stored.name,
                    stored.url,
                    secrets=[stored.secret],
                    allow_private=stored.allow_private,
                    external_url=self._external_url,
                )
            return self._made[stored]

    def __getitem__(self, name: str) -> Receiver:
        for stored in self._state.receivers.listed():
            if stored.name == name:
                return self._webhook(stored)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter([stored.name for stored in self._state.receivers.listed()])

    def __len__(self) -> int:
        return len(self._state.receivers.listed())
