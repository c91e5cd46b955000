"""The recorded real runs: two A10 behind a router, 5 s step, no token counter."""

from __future__ import annotations

import numpy as np
import pytest

from anomalies.detect import detect, track
from anomalies.detectors.a9 import standing_empty
from anomalies.frame import build
from telemetry.frame import Frame

SECOND = 1_000_000
STALLS = {"A1", "A2", "A6"}
pytestmark = pytest.mark.shared


def framed(samples, from_us, to_us):
    return build(
        samples,
        Frame.empty("gpu_samples"),
        Frame.empty("placements"),
        from_us=from_us,
        to_us=to_us,
        step_us=5 * SECOND,
    )


def test_roundrobin_is_overload_and_no_stall(recorded):
    frame = framed(*recorded("roundrobin"))
    findings = detect(frame).findings
    classes = [finding.class_id for finding in findings]
    assert "capacity" in classes and not STALLS & set(classes)
    stood_empty = standing_empty(frame).any()
    assert ("A9" in classes) == bool(stood_empty)


def test_roundrobins_overload_is_found_where_the_queue_is(recorded):
    frame = framed(*recorded("roundrobin"))
    (finding,) = (f for f in detect(frame).findings if f.class_id == "capacity")
    waited = frame.at_us[(frame.waiting.values > 0).any(axis=0)]
    assert waited[0] <= finding.start_us <= waited[0] + 60 * SECOND
    assert set(finding.replicas) == set(frame.replicas) and "222 preemptions" in finding.cause


def test_loadaware_is_well(recorded):
    assert detect(framed(*recorded("loadaware-b0.5"))).findings == ()


def test_kvaware_is_uneven_and_no_stall(recorded):
    assert not STALLS & {finding.class_id for finding in detect(framed(*recorded("kvaware"))).findings}


def test_the_routers_view_gives_what_is_in_flight(recorded):
    frame = framed(*recorded("roundrobin"))
    assert (
        len(frame.replicas) == 2
        and frame.in_flight.known[:, :-1].all()
        and frame.in_flight.values.max() == 221
    )


def test_no_token_counter_means_progress_in_requests(recorded):
    frame = framed(*recorded("roundrobin"))
    assert not frame.counts_tokens.any() and frame.progress.known[:, 1:-1].all()
    assert np.count_nonzero(frame.moving) > np.count_nonzero(frame.still)


@pytest.mark.parametrize(
    ("name", "opened"), [("roundrobin", {"capacity"}), ("kvaware", set()), ("loadaware-b0.5", set())]
)
def test_live_evaluation_finds_what_the_whole_recording_shows(recorded, name, opened):
    samples, from_us, to_us = recorded(name)
    open_now, seen = {}, []
    for now_us in range(from_us + 10 * SECOND, to_us + 1, 5 * SECOND):
        tracked = track(
            tuple(open_now.values()), detect(framed(samples, max(from_us, now_us - 180 * SECOND), now_us))
        )
        seen += tracked.opened
        open_now.update({finding.key: finding for finding in tracked.open})
        assert tracked.closed == ()
    assert {finding.class_id for finding in seen} == opened and len(seen) == len(opened)
