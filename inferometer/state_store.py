"""Opens the state store for the command line, beside a running service or without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from inferometer.saying import Failure, say, telling

if TYPE_CHECKING:
    from service.store.state import State


@contextmanager
def opened_state(data_dir: Path | None, state_url: str | None, *, make: bool) -> Iterator[State]:
    """Yield the state store that the settings name, migrated. Its errors become `Failure`.

    One that is not there yet is made when `make` says so, and said; else it is a `Failure`.
    """
    from service.settings import SettingsError, from_process
    from service.store.errors import StoreError
    from service.store.migrate import upgrade_state
    from service.store.state import State

    with telling(SettingsError):
        settings = from_process(data_dir=data_dir, state_url=state_url)
    place = settings.data_dir / "state.db"
    missing = settings.state_url is None and not place.exists()
    if missing and not make:
        raise Failure(f"open {place}: there is no state store; name the service's folder with --data-dir")
    with telling(StoreError, OSError):
        upgrade_state(settings.state_address)
        if missing:
            say(f"made a new state store, {place}; start the service with --data-dir {settings.data_dir}")
        with closing(State.open(settings.state_address)) as state:
            yield state


def note_audit(state: State, action: str, subject: str) -> None:
    """Keep in the audit trail that somebody at the command line did something."""
    from service.clock import now_us
    from service.store.notes import AuditEntry

    state.audit.add(AuditEntry(at_us=now_us(), who="command line", action=action, subject=subject, detail={}))
