"""Seeded misfortunes of a host's GPUs, and what no reading may say meanwhile.

A schedule is a few dozen ticks in which GPUs are lost, come back, are reset, idle and work, calls
fail for once, and the driver is unloaded and loaded. After every tick each reading is compared
with what is true: no sample of a lost GPU, its identity kept, idle always 0 and never absent.
"""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass, field

from collector.backoff import Backoff
from collector.gpus.identity import enumerate_gpus
from collector.gpus.nvml import Session
from collector.gpus.source import GpuSource
from telemetry.samples import GpuSample

NOW = 1_700_000_000_000_000
TICKS, SETTLED = 40, 2
UNKNOWN, NOT_LOADED = 999, 9
IDENTITY = {"at_us", "gpu_uuid", "host", "gpu_index", "gpu_model", "pci_bus_id", "driver_version", "up"}
FLEETING = ("nvmlDeviceGetUtilizationRates", "nvmlDeviceGetFieldValues", "nvmlDeviceGetMemoryInfo_v2")
ACTIVE = {2: 61.0, 3: 33.0, 5: 24.0, 10: 47.0}


@dataclass
class Truth:
    """What holds for one GPU."""

    present: bool = True
    idle: bool = False
    since: int = 0  # the tick of its last change of presence


@dataclass
class Outcome:
    """What a schedule did and every reading that said something untrue."""

    losses: int = 0
    resets: int = 0
    reloads: int = 0
    samples: int = 0
    down: int = 0
    wrong: list = field(default_factory=list)


class Schedule:
    """One seeded run over a fresh fake driver that this process has loaded."""

    def __init__(self, driver, seed):
        self.driver, self.random, self.outcome = driver, random.Random(seed), Outcome()
        self.truths = [Truth() for _ in range(driver.state.gpu_count)]
        self.loaded, self.failing, self.tick = True, None, 0
        session = Session(patience_seconds=0.05)
        again = Backoff(0.0, 0.0, jitter=False)
        found, _ = enumerate_gpus(session)
        self.sources = [GpuSource(session, gpu, host="node-1", backoff=again) for gpu in found]
        self.session = session

    def run(self):
        for self.tick in range(1, TICKS + 1):
            self.happen()
            self.driver.pass_time()
            for gpu, source in enumerate(self.sources):
                self.judge(gpu, source.read(NOW + self.tick * 1_000_000))
            self.heal()
        for source in self.sources:
            source.close()
        self.session.close()
        return self.outcome

    def happen(self):
        gpu = self.random.randrange(len(self.truths))
        roll = self.random.random()
        if not self.loaded:
            if roll < 0.5:
                self.load()
        elif roll < 0.15:
            self.lose_or_restore(gpu)
        elif roll < 0.25:
            self.driver.reset_counters(gpu)
            self.outcome.resets += 1
        elif roll < 0.30:
            self.unload()
        elif roll < 0.45:
            self.rest_or_work(gpu)
        elif roll < 0.55 and self.truths[gpu].present:
            self.failing = (gpu, self.random.choice(FLEETING))
            self.driver.fail(*self.failing, UNKNOWN)

    def heal(self):
        if self.failing:
            self.driver.fail(*self.failing, 0)
            self.truths[self.failing[0]].since = self.tick  # its next reading is a new beginning
        self.failing = None

    def lose_or_restore(self, gpu):
        truth = self.truths[gpu]
        (self.driver.lose if truth.present else self.driver.restore)(gpu)
        truth.present, truth.since = not truth.present, self.tick
        self.outcome.losses += not truth.present

    def rest_or_work(self, gpu):
        truth = self.truths[gpu]
        truth.idle = not truth.idle
        self.driver.gpus[gpu].busy_percent = 0 if truth.idle else 40
        self.driver.gpus[gpu].power_mw = 90_000 if truth.idle else 305_000
        for number, value in ACTIVE.items():
            self.driver.metric(gpu, number).value = 0.0 if truth.idle else value

    def unload(self):
        self.loaded = False
        self.answer_all(NOT_LOADED)
        self.outcome.reloads += 1

    def load(self):
        self.loaded = True
        self.answer_all(0)
        for gpu, truth in enumerate(self.truths):
            self.driver.reset_counters(gpu)
            truth.since = self.tick

    def answer_all(self, code):
        for gpu in range(len(self.truths)):
            for knob in self.driver.gpus[gpu].knobs:
                knob.result = code
        self.driver.fail(None, "nvmlInitWithFlags", code)

    def judge(self, gpu, reading):
        truth = self.truths[gpu]
        rows = [record for record in reading.records if isinstance(record, GpuSample)]
        uuid = self.driver.gpus[gpu].uuid.decode()
        if any(row.gpu_uuid != uuid for row in rows) or len(rows) > 1:
            self.wrong(gpu, "another GPU's row")
        row = rows[0] if rows else None
        self.outcome.samples += row is not None and row.up
        self.outcome.down += row is not None and not row.up
        if not (truth.present and self.loaded):
            self.judge_lost(gpu, row)
        elif self.failing is None or self.failing[0] != gpu:
            self.judge_present(gpu, row)

    def judge_lost(self, gpu, row):
        if row is None or row.up:
            self.wrong(gpu, "a lost GPU is not told as down")
        elif any(getattr(row, f.name) is not None for f in dataclasses.fields(row) if f.name not in IDENTITY):
            self.wrong(gpu, "a number of a lost GPU")

    def judge_present(self, gpu, row):
        truth = self.truths[gpu]
        if row is None or not row.up:
            if self.tick - truth.since >= SETTLED:
                self.wrong(gpu, "a GPU that answers is not read")
            return
        busy = 0.0 if truth.idle else 0.4
        if row.kernel_busy_ratio != busy:
            self.wrong(gpu, f"kernel-busy {row.kernel_busy_ratio} instead of {busy}")
        if row.sm_activity_ratio is None or not 0 <= row.sm_activity_ratio <= 1:
            self.wrong(gpu, f"SM activity {row.sm_activity_ratio}")
        if row.activity_source is None:
            self.wrong(gpu, "an activity without its source")
        if truth.idle and row.sm_activity_ratio != 0:
            self.wrong(gpu, "an idle GPU that is not 0")

    def wrong(self, gpu, what):
        self.outcome.wrong.append(f"tick {self.tick}, GPU {gpu}: {what}")
