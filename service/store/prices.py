"""The price book as rows: every price ever given, with its source and date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import select

from cost.prices import Price, PriceBook
from service.store.database import Database, insert_once
from service.store.schema import prices


class Prices:
    """The price book of one state store. Thread-safe; each call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, given: Sequence[Price], currency: str, *, now_us: int) -> int:
        """Keep prices; one that is there already is left alone. Returns how many were new."""
        with self._database.writing() as connection:
            return sum(
                insert_once(connection, prices, {**asdict(each), "currency": currency, "added_at_us": now_us})
                for each in given
            )

    def book(self, currency: str) -> PriceBook:
        """Return the book in one currency: of prices from the same instant the last one given."""
        chosen = select(prices).where(prices.c.currency == currency).order_by(prices.c.position)
        with self._database.reading() as connection:
            rows = connection.execute(chosen).mappings().all()
        standing = {(row["selector"], row["from_us"]): row for row in rows}
        fields = Price.__dataclass_fields__
        found = tuple(Price(**{name: row[name] for name in fields}) for row in standing.values())
        return PriceBook(found, currency)
