"""Findings over time: they open once, keep their start, and close only on evidence."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomalies.detect import Detection, detect, track
from anomalies.finding import as_condition, idle_cost_nano
from anomalies.runs import Rule, Verdict, good_since, stretches
from telemetry.condition import Holds, Severity
from telemetry.units import MICROS_PER_HOUR

SECOND = 1_000_000
WINDOW = 60


def replay(made, seconds, window=WINDOW):
    """Evaluate every five seconds on the last `window` seconds; return what opened, closed, stayed."""
    open_now, opened, closed = {}, [], []
    for now in range(10, seconds + 1, 5):
        tracked = track(tuple(open_now.values()), detect(made.frame(first=max(0, now - window), last=now)))
        opened += tracked.opened
        closed += tracked.closed
        for finding in tracked.open:
            open_now[finding.key] = finding
        for finding in tracked.closed:
            del open_now[finding.key]
    return opened, closed, list(open_now.values())


@pytest.fixture
def episode(fleet):
    """A wedge from second 60 to 160 of 240."""
    return fleet(steps=240).replica(
        running=[8] * 60 + [0] * 100 + [8] * 80,
        waiting=[0] * 60 + [6] * 100 + [0] * 80,
        kv=0.3,
        tokens=[300] * 60 + [0] * 100 + [300] * 80,
        prompts=[10] * 60 + [0] * 100 + [10] * 80,
    )


def test_an_episode_opens_once_and_closes_once(episode):
    opened, closed, left = replay(episode, 240)
    assert [f.class_id for f in opened] == [f.class_id for f in closed] == ["A1"] and left == []


def test_it_keeps_the_start_that_the_window_has_long_forgotten(episode):
    _, (closed,), _ = replay(episode, 240)
    assert (closed.start_us, closed.end_us) == (episode.at(60), episode.at(159))


def test_it_is_open_within_three_evaluations_and_closed_soon_after(episode):
    open_at = next(s for s in range(65, 120, 5) if replay(episode, s)[0])
    closed_at = next(s for s in range(160, 240, 5) if replay(episode, s)[1])
    assert open_at - 60 <= 15 and closed_at - 160 <= 20


def test_silence_closes_nothing(fleet, wedged):
    gone = fleet(steps=120).replica(skip=range(90, 120), **wedged)
    gone.steps = 400
    opened, closed, left = replay(gone, 400)
    assert len(opened) == 1 and closed == [] and [f.class_id for f in left] == ["A1"]


def test_a_pool_that_calms_down_is_closed_after_a_minute(fleet, busy):
    made = fleet(steps=240).replica(
        **{**busy, "waiting": [30] * 60 + [0] * 180, "kv": [0.97] * 60 + [0.3] * 180}
    )
    opened, closed, left = replay(made, 240, window=180)
    assert [f.class_id for f in opened] == ["capacity"] and left == [] and closed[0].end_us == made.at(59)


def test_a_silent_replica_does_not_calm_its_pool(fleet, busy):
    made = fleet(steps=200).replica("a", skip=range(60, 200), **{**busy, "waiting": 30, "kv": 0.97})
    made.replica("b", **busy)
    assert replay(made, 200, window=180)[1] == []


def test_tracking_what_is_open_already_opens_nothing(episode):
    detection = detect(episode.frame(last=100))
    first = track((), detection)
    again = track(first.opened, detection)
    assert again.opened == again.closed == () and again.updated == first.opened


def test_nothing_known_changes_nothing(episode):
    (finding,) = detect(episode.frame(last=100)).findings
    tracked = track((finding,), Detection((), {}))
    assert tracked.opened == tracked.updated == tracked.closed == ()


def test_idle_cost_is_gpu_time_at_its_price(episode):
    finding = replace(episode.found(), idle_gpus=("GPU-1", "GPU-2"), start_us=0, end_us=None)
    prices = {"GPU-1": 1_100_000_000, "GPU-2": 2_950_000_000}
    assert idle_cost_nano(finding, prices, MICROS_PER_HOUR) == 4_050_000_000
    assert (
        idle_cost_nano(replace(finding, end_us=MICROS_PER_HOUR // 2), prices, MICROS_PER_HOUR)
        == 2_025_000_000
    )


def test_a_gpu_without_a_price_makes_the_cost_unknown_not_zero(episode):
    finding = episode.found()
    assert idle_cost_nano(finding, {}, 0) is None
    assert idle_cost_nano(replace(finding, idle_gpus=("GPU-9",)), {"GPU-1": 1}, 0) is None


def test_a_condition_names_replica_gpu_cause_and_cost(fleet, wedged):
    finding = fleet().replica(**wedged).gpu().found()
    condition = as_condition(finding, Holds.YES, cost_nano=18_000_000)
    assert (
        condition.name == "A1"
        and condition.severity is Severity.PAGE
        and condition.since_us == finding.start_us
    )
    assert condition.labels == {"pool": "chat", "model": "m", "subject": "a:8000", "replica": "a:8000"}
    assert condition.annotations["gpus"] == "GPU-1" and condition.annotations["idle_cost"] == "0.0180 USD"
    assert condition.annotations["summary"] == finding.cause


def test_a_conditions_labels_stay_while_it_lasts(episode):
    early, late = (detect(episode.frame(last=last)).findings[0] for last in (80, 150))
    assert as_condition(early, Holds.YES).labels == as_condition(late, Holds.YES).labels
    assert early.cause != late.cause


CELLS = st.lists(st.sampled_from("bg?"), min_size=1, max_size=80)
RULE = Rule(min_span_us=3 * SECOND, quiet_us=10 * SECOND)


def verdict(cells):
    marks = np.array([list(cells)])
    return Verdict(marks == "b", marks == "g"), np.arange(len(cells), dtype=np.int64) * SECOND


@given(CELLS)
def test_stretches_begin_and_end_with_bad_cells_and_keep_apart(cells):
    judged, at_us = verdict(cells)
    found = stretches(judged, at_us, RULE)
    for one in found:
        assert cells[one.first] == cells[one.last] == "b" and one.last - one.first >= 3
    for before, after in pairwise(found):
        assert after.first - before.last >= 10


@given(CELLS, st.integers(1, 200))
def test_not_knowing_neither_opens_nor_ends_a_stretch(cells, more):
    judged, at_us = verdict(cells)
    longer, longer_at = verdict([*cells, *"?" * more])
    assert stretches(judged, at_us, RULE) == stretches(longer, longer_at, RULE)
    assert (
        good_since(judged, at_us, RULE.quiet_us).tolist()
        == good_since(longer, longer_at, RULE.quiet_us).tolist()
    )


@given(CELLS)
def test_what_is_good_is_not_in_an_open_stretch(cells):
    judged, at_us = verdict(cells)
    if good_since(judged, at_us, RULE.quiet_us)[0] >= 0:
        assert all(one.over for one in stretches(judged, at_us, RULE))
