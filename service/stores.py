"""Everything of a service that is on disk: opened together, migrated, closed together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from journal import Journal, Limits
from service.counting.fold import READER as FOLD
from service.settings import Settings
from service.store.facts import Facts
from service.store.migrate import upgrade_facts, upgrade_state
from service.store.state import State
from service.writer import READER as STORE


@dataclass(slots=True)
class Stores:
    """The journal, the facts and the state of one data directory."""

    journal: Journal
    facts: Facts
    state: State

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open all three, the databases brought to this version. Raises what each of them raises."""
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        limits = Limits(max_bytes=settings.journal_bytes, ballast_bytes=settings.ballast_bytes)
        journal = Journal.open(settings.data_dir / "journal.db", limits, readers=(STORE, FOLD))
        try:
            upgrade_state(settings.state_address)
            upgrade_facts(settings.facts_address)
            return cls(journal, Facts.open(settings.facts_address), State.open(settings.state_address))
        except BaseException:
            journal.close()
            raise

    def close(self) -> None:
        """Close all three; the journal last, since the others are fed from it."""
        self.facts.close()
        self.state.close()
        self.journal.close()
