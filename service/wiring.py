"""Puts the service together: the one place that knows every part.

Opening migrates both stores, takes up counts where they were left, and refuses by `StartError`
what cannot work, naming the thing, the cause and what to do. Threads run only after `start`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import socket
from collections.abc import Callable
from functools import partial
from typing import Final, Self

from alerts.delivery import Delivery
from alerts.errors import AlertsError
from alerts.pipeline import Context
from alerts.state import AlertState, Policy
from cost.prices import PriceError, parse
from journal import JournalError
from service.access import Caller, KnownCallers
from service.alerting.evaluator import Evaluator, Parts
from service.alerting.finding_rows import FindingStore
from service.alerting.receiving import Receiving, page_before_ticket
from service.alerting.transitions import Alerting
from service.clock import now_us
from service.counting.cell_store import CellStore
from service.counting.checkpoints import Checkpoints
from service.counting.columns import columns_of
from service.counting.correcting import Correcting
from service.counting.fold import READER as FOLD
from service.counting.fold import Fold
from service.counting.in_force import Counted, InForce, Origins, wanted
from service.counting.rollup import RollUp
from service.counting.sightings import Sightings
from service.counting.slo_counters import SloCounters
from service.counting.taking_up import Counting, Span
from service.fleet.presence import Presence
from service.fleet.replica_states import ReplicaStates
from service.fleet.seen import Seen
from service.ingest.recent import Recent
from service.jobs import Job, Jobs
from service.live import LiveWindow
from service.money.billing import Billing, Rules, Sources
from service.objectives.chosen import Chosen
from service.objectives.mistakes import ObjectiveFileError
from service.objectives.watched import Watched
from service.own_metrics import OwnMetrics, Tally
from service.past.imports import Imports
from service.settings import Settings
from service.store.errors import StoreError
from service.store.tokens import Role
from service.stores import Stores
from service.threads import FORESEEN, Worker
from service.vitals import Vitals
from service.writer import READER as STORE
from service.writer import Writer
from slo.calendars import Calendar
from slo.objective import Objective
from telemetry.events import EventKind
from telemetry.frame import Frame
from telemetry.units import MICROS_PER_SECOND

FIRST_TOKEN_NAME: Final = "first-admin"  # noqa: S105 - a name, not a secret
HOUR_SECONDS: Final = 3600.0
_LOG = logging.getLogger(__name__)
_STOPPED: Final = (
    "SELECT agent, argMax(kind, at_us) AS last FROM events WHERE dataset = '' "
    "AND kind IN ({start:String}, {stop:String}) GROUP BY agent HAVING last = {stop:String}"
)


class StartError(Exception):
    """The service cannot start: what, why, and what to do."""


_MENDABLE: Final = (ObjectiveFileError, PriceError, StoreError, JournalError, AlertsError, OSError)
"""What keeps a service from starting and a person can mend; the message is whole."""


def _unable(error: Exception) -> StartError:
    return StartError(f"the service does not start: {error}")


class Service:
    """The parts of one running service, and what the HTTP edge asks of them."""

    def __init__(self, settings: Settings, stores: Stores, origins: Origins, url: str) -> None:
        self.settings, self.stores, self.url = settings, stores, url
        self.journal, self.facts, self.state = stores.journal, stores.facts, stores.state
        self.tally = Tally()
        self.live = LiveWindow()
        self.seen = Seen(self.state, stopped=self._stopped_agents())
        self.receiving = Receiving(self.state, external_url=url)
        self.new_admin_token: str | None = None
        self.listeners = 0
        self.stopping = False
        self.recent = Recent()
        self.callers = KnownCallers(self.state.tokens)
        self.writer = Writer(
            self.journal,
            self.facts,
            block_rows=settings.block_rows,
            block_seconds=settings.block_seconds,
            recent=self.recent,
        )
        self.cells = CellStore(self.facts.cells, clock=now_us)
        checkpoints = Checkpoints(settings.checkpoints_path)
        self.counting = Counting(self.state.notes, self.cells, settings.group_cap, checkpoints)
        self.rolling = RollUp(self.cells, self.state.notes)
        now = wanted(origins)
        self.fold = self._new_fold(now)
        counted = Counted(
            self.fold, self.counting, self.rolling, self.facts, partial(self.journal.cursor, STORE)
        )
        self.in_force = InForce(origins, counted, now=now, clock=now_us)
        self.correcting = Correcting(self.state.corrections, origins.watched, self.fold, self.cells, now_us)
        self.imports = Imports(self.facts, group_cap=settings.group_cap, clock=now_us)
        self.billing = self._new_billing()
        keep_us = int(settings.keep_firing_seconds * MICROS_PER_SECOND)
        self.alerting = Alerting(self.state.alerts, policy=Policy(keep_firing_us=keep_us))
        self.evaluator = self._new_evaluator()
        self.delivery = self._new_delivery()
        self._workers = self._new_workers()
        self._jobs = self._new_jobs()
        self.vitals = self._new_vitals()
        self.metrics = OwnMetrics(self.tally, self.vitals.readings)
        self.slo_counters = SloCounters(self.fold.grown)

    @classmethod
    def open(cls, settings: Settings, *, url: str, tell: Callable[[str], None]) -> Self:
        """Open everything and bring it up to date; no thread runs yet. Raises `StartError`."""
        try:
            watched = Watched(settings.objectives)
            prices = [
                parse(f"{model}={price}", source="settings") for model, price in settings.prices.items()
            ]
            stores = Stores.open(settings)
        except _MENDABLE as error:
            raise _unable(error) from error
        try:
            state = stores.state
            state.prices.add(prices, settings.currency, now_us=now_us())
            origins = Origins(watched=watched, documents=state.objective_documents, versions=state.objectives)
            service = cls(settings, stores, origins, url)
            state.objectives.replace(service.objectives.stored(), now_us=now_us())
            service.receiving.keep(settings.receivers, tell=tell)
            if not state.tokens.listed():
                token = state.tokens.create(FIRST_TOKEN_NAME, Role.ADMIN, now_us=now_us())
                service.new_admin_token = token
        except _MENDABLE as error:
            stores.close()
            raise _unable(error) from error
        return service

    def start(self) -> None:
        """Repair the block in flight, count what new objectives missed, and start every thread.

        Raises `StartError`.
        """
        try:
            self.writer.recover()
            self._backfill()
            self.live.restore(self.facts, now_us())
            self.fold.resume(self.journal.cursor(STORE))
            self.state.notifications.release(self._place)
        except _MENDABLE as error:
            raise _unable(error) from error
        for worker in self._workers:
            worker.start()
        self._jobs.start()

    @property
    def objectives(self) -> Chosen:
        """The objectives in force now."""
        return self.in_force.chosen

    def end_streams(self) -> None:
        """Let the pages that listen go: their streams would never end by themselves."""
        self.stopping = True

    def close(self) -> None:
        """Stop every thread, write what is counted, and let go of the stores."""
        self.end_streams()
        for worker in self._workers:
            worker.ask_to_stop()
        self._jobs.stop()
        for worker in self._workers:
            worker.stop()
        self.delivery.close()
        try:
            if self.fold.ready:
                self.fold.flush()
                self.fold.checkpoint()
        except FORESEEN as error:
            _LOG.warning("close: counts are not written, the next start folds them again: %s", error)
        finally:
            self.stores.close()

    def identify(self, secret: str) -> Caller | None:
        """Return who a token belongs to; None for one that is unknown or revoked.

        At most one query a second for each token, so a revoked one is refused a second later.
        """
        return self.callers.find(secret)

    def newest_us(self) -> int | None:
        """Return the event time of the newest fact of any kind; None before the first."""
        return self.vitals.newest_us()

    def marks(self) -> list[str]:
        """Return what every page must wear: that facts are simulated, that objectives are guesses."""
        marks = []
        if self.seen.simulated:
            marks.append("SIMULATED: these facts come from a simulated fleet")
        if any(objective.guess for objective in self.objectives.objectives):
            marks.append("objectives are guesses until you write your own")
        return marks

    def _stopped_agents(self) -> list[str]:
        """Return the agents that said they were stopped and nothing since. One query."""
        kinds = {"start": EventKind.AGENT_START.value, "stop": EventKind.AGENT_STOP.value}
        return [str(row["agent"]) for row in self.facts.query(_STOPPED, kinds).to_pylist()]

    def _new_fold(self, now: Chosen) -> Fold:
        sightings = Sightings(self.state.notes, self.journal.cursor(FOLD))
        return Fold(
            self.journal,
            self.live,
            self.counting.taken_up(now.objectives, sightings, now_us()),
            cells=self.cells,
            sightings=sightings,
            tally=self.tally,
            clock=now_us,
            vantages=self.settings.vantages,
            recent=self.recent,
            checkpoints=self.counting.checkpoints,
        )

    def _backfill(self) -> None:
        """Count what is in the journal or stored into objectives that were not counted before.

        All of the journal is stored first, so that stored rows are all there is up to its head.
        """
        new = self.counting.new(self.fold.counts)
        if new:
            self.writer.drain()
            span = Span.of(self.facts, now_us(), {one.objective.indicator.table for one in new})
            upto = self.journal.cursor(STORE)
            self.counting.backfill(new, self._stored_rows, upto=upto, span=span)
            longer = [one.objective for one in new if isinstance(one.objective.window, Calendar)]
            self.rolling.step(longer, upto=upto, now_us=span.now_us, first_us=span.first_us)
        self.counting.note(self.fold.counts, self.journal.cursor(STORE))

    def _stored_rows(self, objective: Objective, from_us: int, to_us: int) -> Frame:
        table = objective.indicator.table
        columns = columns_of([objective])[table]
        return self.fold.of_record(self.facts.frame(table, from_us=from_us, to_us=to_us, columns=columns))

    def _new_billing(self) -> Billing:
        rules = Rules(
            interval_us=self.settings.ledger_interval_seconds * MICROS_PER_SECOND,
            lag_us=self.settings.ledger_lag_seconds * MICROS_PER_SECOND,
            currency=self.settings.currency,
        )
        sources = Sources(
            facts=self.facts,
            state=self.state,
            journal=self.journal,
            agents=self.seen.agents,
            of_record=self.fold.of_record,
        )
        return Billing(sources, rules, objectives=lambda: self.objectives.objectives, clock=now_us)

    def _new_evaluator(self) -> Evaluator:
        parts = Parts(
            fold=self.fold,
            live=self.live,
            alerting=self.alerting,
            findings=FindingStore(self.state.findings, self.facts.evidence, now_us),
            states=ReplicaStates(self.state.fleet),
            presence=Presence(
                self.seen,
                self.state,
                lag_us=int(self.settings.sample_lag_seconds * MICROS_PER_SECOND),
                clock=now_us,
            ),
            routes=self.receiving.routes,
            prices=self.billing.hourly,
            tally=self.tally,
            currency=self.settings.currency,
            clock=now_us,
        )
        return Evaluator(parts)

    @property
    def _place(self) -> str:
        """Name this data directory, which one process holds at a time: its earlier workers are dead."""
        where = f"{socket.gethostname()}\0{self.settings.data_dir.resolve()}"
        return hashlib.sha256(where.encode()).hexdigest()[:12]

    def _new_delivery(self) -> Delivery:
        worker = f"{self._place}-{os.getpid()}-{secrets.token_hex(4)}"
        return Delivery(
            self.state.notifications,
            self.receiving,
            worker=worker,
            clock=now_us,
            context=self._context,
        )

    def _context(self) -> Context:
        firing = {
            alert.incident: dict(alert.labels) | {"alertname": alert.name, "severity": alert.severity.value}
            for alert in self.alerting.standing
            if alert.state is AlertState.FIRING and alert.incident
        }
        return Context(
            silences=tuple(self.state.silences.standing(now_us())),
            inhibit_rules=(page_before_ticket(self.objectives.objectives),),
            firing=firing,
        )

    def _new_workers(self) -> list[Worker]:
        every = self.settings.evaluation_seconds
        steps: tuple[tuple[str, Callable[[], bool], float], ...] = (
            ("fold", self.fold.step, 0.2),
            ("store", self.writer.step, 0.2),
            ("evaluator", self._evaluate, every),
            ("billing", self.billing.step, 1.0),
            ("delivery", self._deliver, 0.5),
            ("seen", self.seen.step, 5.0),
            ("objectives", self.in_force.step, 1.0),
        )
        return [Worker(name, step, every_seconds=pause, tally=self.tally) for name, step, pause in steps]

    def _evaluate(self) -> bool:
        """Judge once, by counts without what corrections leave out."""
        self.correcting.step()
        return self.evaluator.step()

    def _deliver(self) -> bool:
        self.delivery.run_once()
        return False

    def _new_jobs(self) -> Jobs:
        jobs = (
            Job("roll_up", HOUR_SECONDS, self._roll_up),
            Job("trim", 24 * HOUR_SECONDS, lambda: self.state.trim(now_us())),
        )
        return Jobs(jobs, tally=self.tally)

    def _roll_up(self) -> None:
        upto = self.journal.cursor(FOLD)
        self.rolling.step(self.objectives.objectives, upto=upto, now_us=now_us())

    def _new_vitals(self) -> Vitals:
        return Vitals(
            journal=self.journal,
            fold=self.fold,
            live=self.live,
            writer=self.writer,
            evaluator=self.evaluator,
            delivery=self.delivery,
            in_force=self.in_force,
            workers=self._workers,
            listeners=lambda: self.listeners,
            evaluation_seconds=self.settings.evaluation_seconds,
            clock=now_us,
        )
