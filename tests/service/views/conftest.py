"""A small story in a real facts store: the demo's fleet for two minutes, a wedge and an overload in it."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa
import pytest

from cost.attribution import Window
from cost.fleet import Gpu
from cost.prices import PriceBook, parse
from service.ingest.frames import to_arrow
from service.money.costing import Facts as Billed
from service.money.costing import bill
from service.store.clickhouse import Warehouse
from service.store.facts import Facts
from service.store.ledger import Interval
from service.store.migrate import upgrade_facts
from service.views.asking import asked
from simulator.demo import FAULTS, arrivals
from simulator.fleets import demo_fleet
from simulator.world import Run, simulate
from slo.indicators.availability import Availability
from slo.indicators.ttft import Ttft
from slo.objective import Objective
from telemetry.frame import Frame

S = 1_000_000
LENGTH_US = 120 * S
INTERVAL_US = 10 * S
VERSION = "1"
_BLOCKS = itertools.count(1)


@dataclass(eq=False)
class Story:
    """The store, what is in it, and the instant after its last fact."""

    facts: Facts
    run: Run
    start_us: int
    prices: PriceBook

    @property
    def now_us(self) -> int:
        return self.start_us + LENGTH_US + S

    def asked(self, range_name="5m", *, to=None, vantages=None, **filters):
        return asked(self.now_us, range_name, filters, to=to, vantages=vantages)

    def store(self, table, records):
        """Store more records, as the writer would."""
        block = next(_BLOCKS)
        rows = to_arrow(Frame.of(table, records))
        envelope = {"agent": "a", "boot": "b", "seq": block, "block": block, "received_at_us": self.now_us}
        envelope |= {"origin": "live", "dataset": ""}
        columns = {name: rows[name] for name in rows.column_names}
        columns |= {name: [value] * rows.num_rows for name, value in envelope.items()}
        self.facts.insert_block(block, {table: pa.table(columns)})

    def frame(self, table):
        records = {
            "requests": self.run.requests,
            "engine_samples": self.run.engines,
            "gpu_samples": self.run.gpus,
            "placements": self.run.placements,
        }
        return Frame.of(table, records[table])

    @property
    def gpus(self) -> list[Gpu]:
        return [
            Gpu(uuid, model) for uuid, model in sorted({(g.gpu_uuid, g.gpu_model) for g in self.run.gpus})
        ]


def _kept(story: Story) -> None:
    for table, records in (
        ("requests", story.run.requests),
        ("in_flight", story.run.unfinished),
        ("engine_samples", story.run.engines),
        ("gpu_samples", story.run.gpus),
        ("placements", story.run.placements),
        ("events", story.run.events),
    ):
        if records:
            story.store(table, records)


def _billed(story: Story) -> None:
    tables = ("requests", "engine_samples", "gpu_samples", "placements")
    facts = Billed(**{table: story.frame(table) for table in tables})
    for start in range(story.start_us, story.start_us + LENGTH_US, INTERVAL_US):
        window = Window(start, start + INTERVAL_US)
        ledger = bill(
            facts, prices=story.prices, objectives=[], window=window, known_gpus=story.gpus, gap_us=10 * S
        )
        interval = Interval(version=VERSION, start_us=start, end_us=start + INTERVAL_US)
        story.facts.ledger.write(interval, ledger.rows, written_at_us=story.now_us)


def _told(folder, name: str) -> Story:
    server = Warehouse(f"clickhousedb:///?interface=chdb&path={folder}")
    server.command(f"CREATE DATABASE {name}")
    server.close()
    url = f"clickhousedb:///{name}?interface=chdb&path={folder}"
    upgrade_facts(url)
    start = (time.time_ns() // 1_000 - 10 * LENGTH_US) // INTERVAL_US * INTERVAL_US
    run = simulate(
        demo_fleet(), arrivals(seed=3, until_us=LENGTH_US), until_us=LENGTH_US, start_us=start, faults=FAULTS
    )
    story = Story(Facts.open(url), run, start, PriceBook((parse("H100=2.95"),)))
    _kept(story)
    return story


@pytest.fixture(scope="session")
def story(chdb_folder):
    """Return the story, billed; tests must not add to it."""
    told = _told(chdb_folder, "story")
    _billed(told)
    yield told
    told.facts.close()


@pytest.fixture
def own_story(chdb_folder):
    """Return a story of this test's own, not billed."""
    told = _told(chdb_folder, f"story{next(_BLOCKS)}")
    yield told
    told.facts.close()


@pytest.fixture(scope="session")
def objectives():
    """Return two promises to every model and tenant."""
    by = ("model", "tenant")
    return (
        Objective(name="availability", indicator=Availability(), target=Decimal("0.999"), group_by=by),
        Objective(name="ttft", indicator=Ttft(2 * S), target=Decimal("0.99"), group_by=by),
    )
