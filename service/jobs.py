"""Slow jobs on a schedule, on one thread of their own: what may be hours late and harm nobody.

A job that fails is counted, said in the log and run again at its next time. Only here is
APScheduler used; what has to keep a clock is a `service.threads.Worker`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from service.own_metrics import Tally
from service.threads import FORESEEN

_LOG = logging.getLogger(__name__)
FIRST_AFTER_SECONDS: Final = 60.0
"""A start has other things to do first."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is done, and how often."""

    name: str
    every_seconds: float
    run: Callable[[], object]


class Jobs:
    """Runs a table of jobs, one at a time; a time that was missed is made up once."""

    def __init__(
        self, jobs: Sequence[Job], *, tally: Tally, first_after_seconds: float = FIRST_AFTER_SECONDS
    ) -> None:
        self._tally = tally
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        first = datetime.now(UTC) + timedelta(seconds=first_after_seconds)
        for job in jobs:
            self._scheduler.add_job(
                self._run,
                "interval",
                args=[job],
                id=job.name,
                seconds=job.every_seconds,
                next_run_time=first,
            )

    def start(self) -> None:
        """Begin to keep the schedule; called once."""
        self._scheduler.start()

    def stop(self) -> None:
        """Let the job under way finish, and begin none after it."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def _run(self, job: Job) -> None:
        try:
            job.run()
        except Exception as error:  # noqa: BLE001 - the job runner's catch: counted, logged, run again
            self._tally.add("job_failures", job.name)
            known = isinstance(error, FORESEEN)
            _LOG.warning(
                "%s: failed and is run again: %s", job.name, error, exc_info=None if known else error
            )
