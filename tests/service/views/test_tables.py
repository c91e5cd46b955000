"""Tables and sentences of the pages, against a recount of the same facts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from cost.classes import CLASSES
from cost.prices import Price, PriceBook, parse
from dashboards.figures.template import templates
from service.views import charged, cost, fleet, gpus, memory, one_request, overview, requests
from service.views.sentences import Tone
from telemetry.frame import Frame
from telemetry.identity import UNMAPPED
from telemetry.requests import TokenGaps
from telemetry.samples import GpuSample
from telemetry.units import MICROS_PER_SECOND as S

NOTHING = Frame.empty("gpu_samples")


def book(story, **changed):
    models = {gpu.uuid: gpu.model for gpu in story.gpus}
    given = {"ledger_version": "1", "interval_us": 10 * S, "prices": story.prices, "models": models}
    return cost.Book(**given | changed)


def fleet_of(story, samples=NOTHING, expected=()):
    return fleet.Known(gpu_samples=samples, frame=None, states={}, expected=expected)


def texts(opening):
    return [sentence.text for sentence in opening.sentences]


# Requests.


def test_the_summary_counts_what_ended_by_model_and_tenant(story):
    _, body = requests.view(story.facts, story.asked(), Tone.GOOD)
    truth = Counter((r.model, r.tenant) for r in story.run.requests)
    assert {(row["model"], row["tenant"]): row["requests"] for row in body["summary"]} == truth


def test_a_filter_narrows_and_the_sentence_with_it(story):
    opening, body = requests.view(story.facts, story.asked(tenant="acme", model="sim-qwen-32b"), Tone.GOOD)
    truth = sum(r.tenant == "acme" and r.model == "sim-qwen-32b" for r in story.run.requests)
    assert [row["requests"] for row in body["summary"]] == [truth]
    assert texts(opening)[0].startswith(f"{truth} requests ended: 0 failed")


def test_the_worst_are_the_slowest_to_the_first_token(story):
    _, body = requests.view(story.facts, story.asked(), Tone.GOOD)
    truth = sorted((r.ttft_us or r.e2e_us for r in story.run.requests), reverse=True)[:20]
    assert [round((row["ttft"] or row["e2e"]) * 1e6) for row in body["worst"]] == truth


def test_no_request_is_not_a_good_request(story):
    opening, body = requests.view(story.facts, story.asked(tenant="nobody"), Tone.GOOD)
    assert opening.tone is Tone.UNKNOWN
    assert body["worst"] == []


def test_the_phases_of_a_request_fill_its_whole_time(story):
    chosen = next(r for r in story.run.requests if r.queue_us is not None and r.ttft_us is not None)
    told = one_request.view(story.facts, story.asked(request=chosen.request_id))
    assert told["phases"][0]["from"] == 0
    assert told["phases"][-1]["to"] == chosen.e2e_us / 1e6
    for earlier, later in zip(told["phases"], told["phases"][1:], strict=False):
        assert earlier["to"] == later["from"]
    assert told["evidence"]["at"]


def test_every_token_of_a_kept_request_has_its_instant(own_story):
    chosen = next(r for r in own_story.run.requests if r.ttft_us is not None)
    gaps = TokenGaps(
        request_id=chosen.request_id, ended_at_us=chosen.ended_at_us, model=chosen.model, gaps_us=(5, 7)
    )
    own_story.store("token_gaps", [gaps])
    told = one_request.view(own_story.facts, own_story.asked(request=chosen.request_id))
    assert told["tokens_at"] == [at / 1e6 for at in (chosen.ttft_us, chosen.ttft_us + 5, chosen.ttft_us + 12)]


def test_a_request_that_is_not_there_is_none(story):
    assert one_request.view(story.facts, story.asked(request="none such")) is None


# GPUs.


def test_each_gpu_shows_its_newest_sample_and_its_replica(story):
    _, body = gpus.view(story.facts, story.asked(), fleet_of(story), [])
    newest = {sample.gpu_uuid: sample for sample in story.run.gpus}
    held = {placement.gpu_uuid: placement.replica for placement in story.run.placements}
    assert len(body["gpus"]) == 8
    for row in body["gpus"]:
        assert row["sm"] == newest[row["gpu_uuid"]].sm_activity_ratio
        assert row["replica"] == held[row["gpu_uuid"]]
        assert row["source"] == "simulated"


def test_a_silent_gpu_has_no_values_and_is_said_to_be_silent(own_story):
    old = replace(own_story.run.gpus[0], gpu_uuid="GPU-old", at_us=own_story.now_us - 100 * S)
    own_story.store("gpu_samples", [old])
    opening, body = gpus.view(
        own_story.facts, own_story.asked(), fleet_of(own_story, expected=["GPU-gone"]), []
    )
    rows = {row["gpu_uuid"]: row for row in body["gpus"]}
    assert {uuid: rows[uuid]["state"] for uuid in ("GPU-old", "GPU-gone")} == dict.fromkeys(
        ("GPU-old", "GPU-gone"), "silent"
    )
    assert rows["GPU-old"]["sm"] is None and rows["GPU-old"]["replica"] is None
    assert "0 lost, 2 not heard of: that is not idle and not well." in texts(opening)
    assert opening.tone is Tone.WARN
    assert [row["gpu_uuid"] for row in body["gpus"][:2]] == ["GPU-gone", "GPU-old"]


def test_a_gpus_memory_is_split_by_what_its_engine_told(own_story):
    held = {place.gpu_uuid: place.replica for place in own_story.run.placements}
    gpu = own_story.run.gpus[-1]
    replica, shares = held[gpu.gpu_uuid], sum(each == held[gpu.gpu_uuid] for each in held.values())
    engine = next(each for each in reversed(own_story.run.engines) if each.replica == replica)
    told = replace(
        engine, at_us=own_story.now_us - 1, weights_bytes=8 << 30, kv_pool_bytes=4 << 30, kv_usage_ratio=0.5
    )
    own_story.store("engine_samples", [told])
    _, body = gpus.view(own_story.facts, own_story.asked(), fleet_of(own_story), [])
    rows = {row["gpu_uuid"]: row for row in body["gpus"]}
    split = rows[gpu.gpu_uuid]["memory"]
    assert (split["weights"], split["kv_used"], split["kv_pool"]) == (
        (8 << 30) / shares,
        (2 << 30) / shares,
        (4 << 30) / shares,
    )
    assert split["other"] == rows[gpu.gpu_uuid]["memory_used"] - (12 << 30) / shares


@pytest.mark.parametrize(
    ("engine", "used", "gpus", "expected"),
    [
        ({"weights": None, "kv_pool": None, "kv": 0.5}, 10, 1, None),
        ({"weights": 8, "kv_pool": 4, "kv": 0.5}, 10, 0, None),
        (
            {"weights": 8, "kv_pool": None, "kv": 0.5},
            10,
            1,
            {"weights": 8, "kv_used": None, "kv_pool": None, "other": None},
        ),
        (
            {"weights": 8, "kv_pool": 4, "kv": 0.5},
            None,
            2,
            {"weights": 4, "kv_used": 1, "kv_pool": 2, "other": None},
        ),
        (
            {"weights": 8, "kv_pool": 4, "kv": None},
            11,
            1,
            {"weights": 8, "kv_used": None, "kv_pool": 4, "other": None},
        ),
    ],
)
def test_memory_that_is_not_known_is_not_shown_as_nothing(engine, used, gpus, expected):
    assert memory.parts({"memory_used": used}, engine, gpus) == expected


def test_the_replica_filter_shows_its_gpus_and_its_events_alone(story):
    replica = story.run.placements[0].replica
    _, body = gpus.view(story.facts, story.asked(replica=replica), fleet_of(story), [])
    held = {p.gpu_uuid for p in story.run.placements if p.replica == replica}
    assert {row["gpu_uuid"] for row in body["gpus"]} == held


def test_a_mig_instance_is_named_with_its_profile(own_story):
    rows = [
        GpuSample(at_us=own_story.now_us - S, gpu_uuid="GPU-cut", host="h", gpu_model="H100"),
        GpuSample(at_us=own_story.now_us - S, gpu_uuid="MIG-a", host="h", gpu_model="H100",
                  mig_parent_uuid="GPU-cut", mig_profile="1g.10gb"),
    ]  # fmt: skip
    own_story.store("gpu_samples", rows)
    _, body = gpus.view(own_story.facts, own_story.asked(), fleet_of(own_story), [])
    named = {row["gpu_uuid"]: row["gpu_model"] for row in body["gpus"]}
    assert (named["GPU-cut"], named["MIG-a"]) == ("H100", "H100 MIG 1g.10gb")


def test_throttled_time_is_the_growth_of_the_counters_over_resets(own_story):
    totals = (5 * S, 6 * S, 1 * S, 3 * S)  # the driver was loaded anew between the second and the third
    samples = [
        GpuSample(
            at_us=own_story.start_us + at * 10 * S,
            gpu_uuid="GPU-hot",
            host="h",
            throttle_power_us_total=total,
            throttle_thermal_us_total=0,
        )
        for at, total in enumerate(totals)
    ]
    own_story.store("gpu_samples", samples)
    _, body = gpus.view(own_story.facts, own_story.asked(), fleet_of(own_story), [])
    hot = next(row for row in body["gpus"] if row["gpu_uuid"] == "GPU-hot")
    assert hot["throttled"] == 1 + 1 + 2
    assert hot["throttled_by"] == {"power": 4, "thermal": 0}
    assert next(row for row in body["gpus"] if row["gpu_uuid"] != "GPU-hot")["throttled"] is None


def test_what_is_wrong_with_a_gpu_stands_beside_its_state(own_story):
    at_us = own_story.now_us - S
    rows = [
        GpuSample(at_us=at_us, gpu_uuid="GPU-ill", host="h", recovery_action=1, remap_failed=True,
                  pcie_width=4, pcie_width_max=16, event_reasons=0x40),
        GpuSample(at_us=at_us, gpu_uuid="GPU-well", host="h", recovery_action=0, remap_failed=False,
                  pcie_width=16, pcie_width_max=16, event_reasons=0x4),
        GpuSample(at_us=at_us, gpu_uuid="GPU-lost", host="h", up=False),
    ]  # fmt: skip
    own_story.store("gpu_samples", rows)
    opening, body = gpus.view(own_story.facts, own_story.asked(), fleet_of(own_story), [])
    assert "Not well though at work: 1 GPU. GPU-ill: the driver asks for a reset of the GPU." in texts(
        opening
    )
    assert [row["gpu_uuid"] for row in body["gpus"]][:2] == ["GPU-lost", "GPU-ill"]
    concerns = {row["gpu_uuid"]: row["concerns"] for row in body["gpus"]}
    assert concerns["GPU-ill"] == [
        "the driver asks for a reset of the GPU",
        "a row remap failed: replace the GPU",
        "its PCIe link has 4 of 16 lanes: seat it anew, or replace riser or board",
        "clocks are cut: hardware thermal slowdown",
    ]
    assert concerns["GPU-well"] == concerns["GPU-lost"] == []


# The fleet as cells.


def test_a_gpu_that_no_replica_holds_is_unmapped_and_an_expected_one_not_heard_of(story):
    sample = GpuSample(at_us=story.now_us, gpu_uuid="GPU-1", host="h", sm_activity_ratio=0.25)
    lost = GpuSample(at_us=story.now_us, gpu_uuid="GPU-2", host="h", up=False)
    (pool,) = fleet.pools(
        fleet_of(story, Frame.of("gpu_samples", [sample, lost]), expected=["GPU-1", "GPU-3"])
    )
    cells = {cell["uuid"]: cell for member in pool["replicas"] for cell in member["gpus"]}
    assert pool["pool"] == UNMAPPED
    assert (pool["gpus"], pool["heard"], pool["lost"], pool["sm"]) == (3, 2, 1, 0.25)
    assert cells["GPU-1"] == {"uuid": "GPU-1", "busy": None, "sm": 0.25, "up": True}
    assert cells["GPU-2"]["up"] is False
    assert cells["GPU-3"]["up"] is None


def test_of_many_samples_the_newest_is_shown(story):
    samples = [
        GpuSample(at_us=story.now_us + at, gpu_uuid=uuid, host="h", sm_activity_ratio=at / 10)
        for at in (3, 1, 2)
        for uuid in ("GPU-b", "GPU-a")
    ]
    (pool,) = fleet.pools(fleet_of(story, Frame.of("gpu_samples", samples)))
    assert [cell["sm"] for cell in pool["replicas"][0]["gpus"]] == [0.3, 0.3]


# Money.


def test_the_charge_per_hour_is_the_fleets_price(story):
    spent = overview.money(story.facts, story.asked(), "1")
    assert spent["minutes"] == 2
    assert spent["total_nano_per_hour"] == pytest.approx(8 * 2_950_000_000, abs=1_000)
    assert not spent["unpriced"]


def test_the_bill_adds_up_to_the_last_nano(story):
    _, body = cost.view(story.facts, story.asked(), book(story), compare=False)
    assert body["check"]["adds_up"] is True
    assert "No difference." in body["check"]["words"]
    total = sum(row["amount_nano"] for row in body["classes"])
    assert charged.exact(total) in body["check"]["words"]
    assert sum(row["total_nano"] for row in body["pools"]) == total


def test_a_price_changed_behind_the_ledgers_back_is_told_with_the_difference(story):
    dearer = PriceBook((Price(selector="H100", nano_per_hour=parse("H100=3.95").nano_per_hour),))
    found = charged.check(
        story.facts,
        story.asked(),
        ledger_version="1",
        prices=dearer,
        models={gpu.uuid: gpu.model for gpu in story.gpus},
    )
    hours = 8 * 120 / 3600
    assert found.difference_nano == pytest.approx(-hours * 1e9, abs=200)
    told = charged.told(found, "USD")
    assert told["adds_up"] is False
    assert charged.exact(found.difference_nano) in told["words"]


def test_a_gpu_whose_model_nobody_knows_is_not_compared_and_said_so(story):
    models = {gpu.uuid: gpu.model for gpu in story.gpus[1:]}
    found = charged.check(story.facts, story.asked(), ledger_version="1", prices=story.prices, models=models)
    assert found.unknown == (story.gpus[0].uuid,)
    assert (found.gpus, found.difference_nano) == (7, 0)
    assert story.gpus[0].uuid in charged.told(found, "USD")["words"]


def test_a_hole_in_the_ledger_is_not_charged_for(own_story, story):
    models = {gpu.uuid: gpu.model for gpu in story.gpus}
    whole = charged.check(story.facts, story.asked(), ledger_version="1", prices=story.prices, models=models)
    assert whole.gpu_hours == pytest.approx(8 * 120 / 3600)
    empty = charged.check(
        own_story.facts, own_story.asked(), ledger_version="1", prices=story.prices, models=models
    )
    assert charged.told(empty, "USD")["adds_up"] is None


def test_a_class_is_filtered_with_its_kin(story):
    _, every = cost.view(story.facts, story.asked(), book(story), compare=False)
    _, idle = cost.view(story.facts, story.asked(**{"class": "idle"}), book(story), compare=False)
    assert {row["class"] for row in idle["classes"]} == {
        row["class"] for row in every["classes"] if row["class"].startswith("idle")
    }
    assert {row["class"] for row in idle["rows"]} <= {"idle.ready", "idle.unallocated"}


def test_tokens_are_counted_over_the_charged_time_alone(story):
    _, body = cost.view(story.facts, story.asked(), book(story), compare=False)
    end = story.start_us + 120 * S
    truth = Counter()
    for r in story.run.requests:
        if story.start_us <= r.ended_at_us < end:
            truth[r.tenant, r.model] += r.output_tokens or 0
    for row in body["tenants"]:
        assert row["output_tokens"] == truth[row["tenant"], row["model"]]
        assert row["per_million_nano"] == round(row["total_nano"] * 1_000_000 / row["output_tokens"])


def test_no_charge_is_not_zero(own_story):
    opening, body = cost.view(own_story.facts, own_story.asked(), book(own_story), compare=True)
    assert texts(opening) == ["Nothing has been charged in this range yet."]
    assert body["classes"] == [] and body["until_ms"] is None


def test_every_class_of_the_ledger_has_a_meaning_and_a_look():
    assert {klass.value for klass in CLASSES} == cost.MEANING.keys()
    assert templates()["ledger"].styles.keys() == cost.MEANING.keys() - {"unpriced"}
