"""Alerts as they stand and every transition they made, committed together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import RowMapping, select

from alerts.notification import Notification
from alerts.state import Alert, AlertState, Transition
from service.store.database import Database, insert_once, upsert
from service.store.notifications import notification_row
from service.store.schema import alert_states, notifications, transitions
from telemetry.condition import Severity


class AlertHistory:
    """The alerts of one state store. Thread-safe; implements `service.alerting.transitions.AlertRows`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def alerts(self) -> list[Alert]:
        """Return every alert as it stands."""
        with self._database.reading() as connection:
            rows = connection.execute(select(alert_states).order_by(alert_states.c.key)).mappings()
            return [Alert(**{**_words(row), "state": AlertState(row["state"])}) for row in rows]

    def commit(
        self,
        alerts: Sequence[Alert],
        transitions_made: Sequence[Transition],
        planned: Sequence[Notification],
    ) -> None:
        """Keep changed alerts, new transitions and new notifications: all or none, durable.

        A transition or notification whose id is there already is left alone, so a round that
        is repeated after a crash adds nothing.
        """
        with self._database.writing() as connection:
            for alert in alerts:
                upsert(connection, alert_states, _row(alert))
            for transition in transitions_made:
                insert_once(connection, transitions, _row(transition))
            for each in planned:
                insert_once(connection, notifications, notification_row(each))

    def transitions(self, from_us: int, to_us: int, *, limit: int = 1_000) -> list[Transition]:
        """Return the transitions decided in [from_us, to_us), newest first."""
        chosen = select(transitions).where(transitions.c.at_us >= from_us, transitions.c.at_us < to_us)
        ordered = chosen.order_by(transitions.c.position.desc()).limit(limit)
        with self._database.reading() as connection:
            return [_transition(row) for row in connection.execute(ordered).mappings()]


def _row(record: Alert | Transition) -> dict[str, Any]:
    """Return a record as columns: label sets as JSON text, words as text."""
    fields = asdict(record)
    fields["labels"] = json.dumps(dict(record.labels), sort_keys=True)
    fields["annotations"] = json.dumps(dict(record.annotations), sort_keys=True)
    return fields


def _words(row: RowMapping) -> dict[str, Any]:
    return {
        **row,
        "labels": json.loads(row["labels"]),
        "annotations": json.loads(row["annotations"]),
        "severity": Severity(row["severity"]),
    }


def _transition(row: RowMapping) -> Transition:
    fields = _words(row)
    del fields["position"]
    return Transition(
        **{**fields, "before": AlertState(fields["before"]), "after": AlertState(fields["after"])}
    )
