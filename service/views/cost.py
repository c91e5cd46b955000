"""The cost page: the ledger by class, by tenant and model, over time; its rows; whether it adds up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from cost.prices import PriceBook
from service.store.ledger import STANDING
from service.views import charged, energy
from service.views.asking import OF_RECORD, Asked, Queries, milliseconds, rows
from service.views.sentences import Opening, Sentence, Tone, money
from telemetry.units import MICROS_PER_HOUR, MICROS_PER_MILLI

MEANING: Final = {
    "useful": "work whose tokens reached a user in time",
    "slo_miss": "work of requests that broke a limit",
    "headroom": "the empty seats of a batch kept for bursts",
    "idle.ready": "ready, with nothing to do",
    "idle.unallocated": "a GPU that no replica holds",
    "overhead.load": "loading weights",
    "overhead.warmup": "compiling and warming up",
    "overhead.drain": "finishing before a stop",
    "unobserved": "nobody was watching, or work of which no record came",
    "unpriced": "no price is set for this GPU",
    "waste.preempt": "tokens computed again after a preemption",
    "waste.spec": "draft tokens that were rejected",
    "waste.cancel": "work whose client had left",
    "waste.error": "work that ended in an error",
}
MOST_LEDGER_ROWS: Final = 60
FILTERS: Final = ("tenant", "model", "pool", "class")
_CHOSEN: Final = (
    STANDING
    + "".join(
        f"\n   AND ({{{name}:String}} = '' OR ifNull({name}, '') = {{{name}:String}})" for name in FILTERS[:3]
    )
    + "\n   AND ({class:String} = '' OR class = {class:String} "
    "OR startsWith(class, concat({class:String}, '.')))"
)
_BY_CLASS: Final = (
    "SELECT class, sum(amount_nano) AS nano, countIf(isNull(amount_nano)) AS unpriced, "
    "min(interval_start_us) AS from_us, max(interval_end_us) AS until_us"
    + _CHOSEN
    + " GROUP BY class ORDER BY nano DESC"
)
_SPLIT: Final = (
    "sumIf(amount_nano, class = 'useful') AS useful_nano, "
    "sumIf(amount_nano, class = 'slo_miss') AS slo_miss_nano, "
    "sumIf(amount_nano, startsWith(class, 'waste')) AS waste_nano, "
    "sumIf(amount_nano, startsWith(class, 'idle') OR class = 'headroom') AS idle_nano, "
    "sum(amount_nano) AS total_nano"
)
_BY_TENANT: Final = (
    "SELECT tenant, model, " + _SPLIT + _CHOSEN + " AND isNotNull(tenant) "
    "GROUP BY tenant, model ORDER BY total_nano DESC LIMIT 200"
)
_BY_POOL: Final = (
    "SELECT ifNull(pool, '') AS pool, uniqExact(gpu_uuid) AS gpus, "
    + _SPLIT
    + _CHOSEN
    + " GROUP BY pool ORDER BY total_nano DESC LIMIT 200"
)
_TOKENS: Final = (
    "SELECT tenant, model, sum(output_tokens) AS output_tokens FROM requests "
    "WHERE dataset = {dataset:String} AND ended_at_us >= {charged_from_us:Int64} "
    "AND ended_at_us < {charged_until_us:Int64} AND " + OF_RECORD + " GROUP BY tenant, model"
)
_OVER_TIME: Final = (
    "SELECT intDiv(interval_start_us, {width_us:Int64}) * {width_us:Int64} AS at, class AS name, "
    "sum(amount_nano) AS nano" + _CHOSEN + " GROUP BY at, name ORDER BY at"
)
_ROWS: Final = (
    "SELECT intDiv(from_us, 1000) AS from_ms, intDiv(to_us, 1000) AS to_ms, gpu_uuid, replica, pool, class, "
    "tenant, model, tier, provisional, amount_nano"
    + _CHOSEN
    + f" ORDER BY interval_start_us DESC, amount_nano DESC LIMIT {MOST_LEDGER_ROWS}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What the ledger is kept by: its version and width, the price book, the GPUs' models."""

    ledger_version: str
    interval_us: int
    prices: PriceBook
    models: Mapping[str, str | None]
    nano_per_kwh: int | None = None
    """Price of electricity; None = not given."""

    @property
    def currency(self) -> str:
        """The currency of every amount."""
        return self.prices.currency


def view(store: Queries, question: Asked, book: Book, *, compare: bool) -> tuple[Opening, dict[str, Any]]:
    """Return the page and what it opens with. Eight statements, one more with `compare`.

    Energy is told beside the bill and is no part of it: None where a filter names what has no GPU of its own.
    """
    bound = _bound(question, book)
    classes = rows(store, _BY_CLASS, bound)
    priced = [row for row in classes if row["nano"] is not None]
    total = sum(row["nano"] for row in priced)
    span = {
        "charged_from_us": min((row["from_us"] for row in classes), default=0),
        "charged_until_us": max((row["until_us"] for row in classes), default=0),
    }
    tokens = rows(store, _TOKENS, bound | span)
    earlier = rows(store, _BY_CLASS, _bound(question.before(), book)) if compare else []
    before = {row["class"]: row["nano"] for row in earlier}
    body = {
        "currency": book.currency,
        "classes": [_class(row, total, before) for row in priced],
        "compared": compare,
        "unpriced": any(row["unpriced"] for row in classes),
        "tenants": _tenants(rows(store, _BY_TENANT, bound), tokens),
        "pools": rows(store, _BY_POOL, bound),
        "rows": rows(store, _ROWS, bound),
        "check": charged.told(
            charged.check(
                store,
                question,
                ledger_version=book.ledger_version,
                prices=book.prices,
                models=book.models,
            ),
            book.currency,
        ),
        "energy": None if _split(question) else energy.view(store, question, book.nano_per_kwh),
        "until_ms": milliseconds(span["charged_until_us"] or None),
    }
    loaded = None if _filtered(question) else sum(row["output_tokens"] or 0 for row in tokens)
    return _opening(priced, total, loaded, book.currency, unpriced=body["unpriced"] is True), body


def charts(store: Queries, question: Asked, book: Book) -> dict[str, Any]:
    """Return the charge per hour over time, one series a class. One statement."""
    wide = question.at_least(book.interval_us)
    return {"ledger": {"series": _series(rows(store, _OVER_TIME, _bound(wide, book)), wide)}}


def _bound(question: Asked, book: Book) -> dict[str, Any]:
    return question.bound(ledger_version=book.ledger_version, **question.wanted(*FILTERS))


def _filtered(question: Asked) -> bool:
    return any(question.wanted(*FILTERS).values())


def _split(question: Asked) -> bool:
    """Tell whether the question is about a part of what a GPU does: its energy is not cut so fine."""
    return any(question.wanted("tenant", "model", "class").values())


def _class(row: Mapping[str, Any], total: int, before: Mapping[str, int | None]) -> dict[str, Any]:
    return {
        "class": row["class"],
        "meaning": MEANING[row["class"]],
        "amount_nano": row["nano"],
        "before_nano": before.get(row["class"]),
        "share": row["nano"] / total if total else None,
    }


def _tenants(found: list[dict[str, Any]], tokens: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return tenants with what their output tokens cost; tokens that nobody counted are None."""
    counted = {(row["tenant"], row["model"]): row["output_tokens"] for row in tokens}
    listed = [row | {"output_tokens": counted.get((row["tenant"], row["model"]))} for row in found]
    return [
        row | {"per_million_nano": per_million(row["total_nano"], row["output_tokens"])} for row in listed
    ]


def per_million(nano: int, tokens: int | None) -> int | None:
    """Return nano-currency per million tokens; None where no token is known."""
    return round(Fraction(nano * 1_000_000, tokens)) if tokens else None


def _series(points: list[dict[str, Any]], question: Asked) -> list[dict[str, Any]]:
    """Return one series a class, as currency units per hour; a time without rows has no bar."""
    per_hour = Fraction(MICROS_PER_HOUR, question.width_us) / 10**9
    present = {point["name"] for point in points if point["nano"]}
    return [
        {
            "name": name,
            "at": [p["at"] // MICROS_PER_MILLI for p in points if p["name"] == name],
            "amount": [float((p["nano"] or 0) * per_hour) for p in points if p["name"] == name],
        }
        for name in MEANING
        if name in present
    ]


def _opening(
    classes: Sequence[Mapping[str, Any]], total: int, tokens: int | None, currency: str, *, unpriced: bool
) -> Opening:
    sentences = []
    if unpriced:
        sentences.append(Sentence("Some GPUs have no price, which is not the same as costing nothing."))
    if not classes:
        return Opening(Tone.UNKNOWN, [*sentences, Sentence("Nothing has been charged in this range yet.")])
    families: dict[str, int] = {}
    for row in classes:
        family = row["class"].split(".")[0]
        families[family] = families.get(family, 0) + row["nano"]
    split = [
        f"{amount / total * 100:.0f} % {_FAMILY[family]}"
        for family, amount in sorted(families.items(), key=lambda entry: -entry[1])
        if total and amount / total >= 0.005
    ]
    sentences.append(Sentence(f"{money(total, currency)} was charged: {', '.join(split)}."))
    loaded = per_million(total, tokens)
    if loaded is not None:
        sentences.append(
            Sentence(f"A million output tokens cost {money(loaded, currency)}, idle time included.")
        )
    return Opening(Tone.WARN if unpriced else Tone.PLAIN, sentences)


_FAMILY: Final = {
    "useful": "useful",
    "slo_miss": "for requests that missed their limit",
    "headroom": "headroom",
    "idle": "idle",
    "overhead": "overhead",
    "unobserved": "unobserved",
    "waste": "wasted",
}
