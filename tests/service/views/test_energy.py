"""Energy of a range: the growth of each GPU's counter, by pool, and its price."""

from __future__ import annotations

import pytest

from cost.prices import PriceBook
from service.views import cost, energy
from telemetry.placement import Placement
from telemetry.samples import GpuSample
from telemetry.units import MICROS_PER_SECOND as S
from telemetry.units import nano


def count(story, uuid, totals, *, every=S, pool="mine", **more):
    """Store samples of one GPU's counter in millijoules, `every` microseconds apart, and its pool."""
    samples = [
        GpuSample(
            at_us=story.start_us + at * every, gpu_uuid=uuid, host="h", energy_millijoules_total=total, **more
        )
        for at, total in enumerate(totals)
    ]
    story.store("gpu_samples", samples)
    place = Placement(at_us=story.start_us, replica=uuid, gpu_uuid=uuid, host="h", pool=pool)
    story.store("placements", [place])


def told(story, nano_per_kwh=None):
    return energy.view(story.facts, story.asked(pool="mine"), nano_per_kwh)


def drawn(story):
    return [pool["millijoules"] for pool in told(story)["pools"]]


def test_the_energy_of_a_fleet_is_what_its_counters_grew_by(story):
    found = energy.view(story.facts, story.asked(), nano("0.08"))
    by_gpu = {}
    for sample in story.run.gpus:
        by_gpu.setdefault(sample.gpu_uuid, []).append(sample.energy_millijoules_total)
    truth = sum(totals[-1] - totals[0] for totals in by_gpu.values())
    assert sum(pool["millijoules"] for pool in found["pools"]) == truth
    assert found["kwh"] == pytest.approx(truth / 3.6e9)
    assert found["amount_nano"] == round(truth * nano("0.08") / 3_600_000_000)
    assert sum(pool["gpus"] for pool in found["pools"]) == len(by_gpu)
    assert all(pool["joules_per_token"] > 0 for pool in found["pools"])


def test_the_power_that_is_shown_has_no_part_in_it(own_story):
    count(own_story, "GPU-1", (1_000, 2_000), power_watts=700.0)
    assert drawn(own_story) == [1_000]


def test_a_counter_that_began_anew_counts_from_nothing(own_story):
    # Within one bucket, and between two.
    count(own_story, "GPU-1", (100, 150, 20, 30))
    count(own_story, "GPU-2", (100, 150, 20, 30), every=10 * S)
    assert drawn(own_story) == [2 * (50 + 30)]


def test_what_was_drawn_while_nobody_looked_counts(own_story):
    count(own_story, "GPU-1", (0, None, None, 9_000), every=20 * S)
    assert drawn(own_story) == [9_000]


def test_how_often_a_gpu_is_read_changes_nothing(own_story):
    count(own_story, "GPU-often", range(0, 61_000, 1_000))
    count(own_story, "GPU-seldom", range(0, 61_000, 15_000), every=15 * S)
    assert drawn(own_story) == [120_000]


def test_a_gpu_that_tells_no_energy_is_counted_as_such_and_not_as_zero(own_story):
    count(own_story, "GPU-old", (None, None))
    found = told(own_story, nano("0.08"))
    assert (found["untold"], found["kwh"], found["amount_nano"]) == (1, None, None)


def test_an_instance_adds_nothing_to_its_boards_energy(own_story):
    count(own_story, "GPU-cut", (0, 500))
    count(own_story, "MIG-a", (None, None), mig_parent_uuid="GPU-cut")
    found = told(own_story)
    assert [(pool["gpus"], pool["untold"], pool["millijoules"]) for pool in found["pools"]] == [(1, 0, 500)]


def test_energy_goes_to_the_pool_of_the_gpus_replica(own_story):
    count(own_story, "GPU-1", (0, 500))
    count(own_story, "GPU-2", (0, 300), pool="other")
    count(own_story, "GPU-3", (0, 200), pool=None)
    found = energy.view(own_story.facts, own_story.asked(), None)
    by_pool = {pool["pool"]: pool["millijoules"] for pool in found["pools"]}
    assert (by_pool["mine"], by_pool["other"], by_pool[""]) == (500, 300, 200)
    assert drawn(own_story) == [500]


def test_without_a_price_energy_has_no_amount(own_story):
    count(own_story, "GPU-1", (0, 500))
    found = told(own_story)
    assert found["amount_nano"] is None and found["pools"][0]["amount_nano"] is None


def test_a_part_of_the_bill_has_no_energy_of_its_own_and_a_pool_has(story):
    book = cost.Book(ledger_version="1", interval_us=10 * S, prices=PriceBook(()), models={})
    _, tenant = cost.view(story.facts, story.asked(tenant="acme"), book, compare=False)
    _, pool = cost.view(story.facts, story.asked(pool="chat"), book, compare=False)
    assert tenant["energy"] is None
    assert [each["pool"] for each in pool["energy"]["pools"]] == ["chat"]
