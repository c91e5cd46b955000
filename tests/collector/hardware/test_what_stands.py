"""Whatever happens in whatever order: an Xid stands until there is evidence, and only until then."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.hardware.desk import HardwareDesk
from collector.hardware.policies import POLICIES
from collector.hardware.reports import Report, Route
from telemetry.samples import GpuSample

GPU = "GPU-fa4e0000-0000-4000-8000-000000000000"
SECOND = 1_000_000
STEPS = st.sampled_from(["xid 79", "xid 48", "xid 13", "good", "lost", "reset", "reboot", "restart"])


class World:
    """One GPU, one host, one agent that may be restarted: what happens, and what must stand."""

    def __init__(self, folder):
        self.path, self.now, self.boot = folder / "hardware.json", SECOND, 0
        self.energy, self.resets, self.read = 10**9, 0, False
        self.stands: dict[int, int] = {}  # code -> boot
        self.reset_since = False
        self.desk = self.start()

    def start(self):
        return HardwareDesk(self.path, host="h", policy=POLICIES["nvidia"], boot=str(self.boot))

    def step(self, what):
        self.now += SECOND
        if what.startswith("xid"):
            code = int(what.split()[1])
            self.desk.take(
                [Report(gpu=GPU, code=code, route=Route.DRIVER, after_us=self.now, at_us=self.now)], self.now
            )
            if code != 13:
                self.stands.setdefault(code, self.boot)
        elif what == "good":
            self.sample()
        elif what == "lost":
            self.desk.observe([GpuSample(at_us=self.now, gpu_uuid=GPU, host="h", up=False)])
        else:
            if what != "restart":  # both begin the energy counter anew
                self.resets += 1
                self.energy, self.reset_since = 10**6 - self.resets, True
            self.boot += what == "reboot"
            if what != "reset":
                self.desk.keep()
                self.desk = self.start()

    def sample(self):
        if not self.reset_since:
            self.energy += 1_000
        evidence = self.reset_since and self.read
        self.stands = (
            {} if evidence else {code: boot for code, boot in self.stands.items() if boot == self.boot}
        )
        self.reset_since, self.read = False, True
        self.desk.observe(
            [GpuSample(at_us=self.now, gpu_uuid=GPU, host="h", energy_millijoules_total=self.energy)]
        )


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_it_stands_until_a_good_reading_comes_with_evidence(steps):
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        for step in steps:
            world.step(step)
            assert {trouble.code for trouble in world.desk.troubles()} == set(world.stands), step
