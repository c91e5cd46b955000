"""Every series that is derived on the agent's page stands in docs/hardware.md, and each setting behind it."""

from __future__ import annotations

import pytest

from collector.efficiency.meter import EfficiencyMeter
from collector.export.replica_vitals import memory_vitals, placement_vitals, start_up_vitals
from collector.hardware.desk import HardwareDesk
from collector.hardware.policies import POLICIES
from collector.hardware.vitals import hardware_vitals


@pytest.fixture
def page(repository):
    return (repository / "docs" / "hardware.md").read_text()


def test_every_series_is_documented(page, tmp_path):
    desk = HardwareDesk(tmp_path / "x.json", host="h", policy=POLICIES["nvidia"], boot="b")
    vitals = [
        *hardware_vitals(desk),
        *EfficiencyMeter({}, lambda replica: ()).vitals(),
        *memory_vitals([], lambda replica: ()),
        *placement_vitals([], []),
        *start_up_vitals([]),
    ]
    assert [each.name for each in vitals if f"`{each.prefix}{each.name}" not in page] == []


def test_every_policy_and_flag_is_documented(page):
    words = [*POLICIES, "--xid-policy", "--kernel-log", "--expect-gpus", "--engine-log", "kv_bytes_per_token"]
    assert [word for word in words if f"`{word}" not in page and word not in page] == []
