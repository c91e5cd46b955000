"""Who should be heard and is not: silence is an alert, an end in order is none, absence ends nothing."""

from __future__ import annotations

import pyarrow as pa
import pytest

from alerts.state import Alert, AlertState
from service.fleet.presence import AGENT_CLOCK, AGENT_DOUBLE, AGENT_SILENT, GPU_MISSING, Presence
from service.fleet.seen import BACK_AFTER_US, Seen
from service.ingest.decode import Decoded, Ignored
from service.store.fleet import ExpectedGpu
from service.store.tokens import Role
from telemetry.condition import Holds, Severity
from telemetry.frame import Frame
from telemetry.identity import Origin
from telemetry.samples import GpuSample
from telemetry.units import MICROS_PER_SECOND as S
from telemetry.wire import BatchHeader

START = 1_700_000_000 * S
LAG = 60 * S


def batch(at_us, *, host="h", stop=False, sealed_us=None, origin=Origin.LIVE, boot="b"):
    """Return a batch sealed at an instant, with or without the event of an end."""
    kinds = pa.table({"kind": ["agent_stop" if stop else "deploy"]})
    sealed = at_us if sealed_us is None else sealed_us
    header = BatchHeader(boot=boot, seq=1, sealed_at_us=sealed, host=host, origin=origin)
    return Decoded(header, {"events": kinds}, Ignored())


class Watched:
    """A presence that starts at START, an agent `a` on host `h` with a valid token, GPU-1 expected."""

    def __init__(self, kept):
        self.kept = kept
        kept.tokens.create("a", Role.AGENT, now_us=1)
        kept.fleet.expect([ExpectedGpu(gpu_uuid="GPU-1", host="h", gpu_model="A10", since_us=1)])
        self.begin()

    def begin(self, at_us=START, stopped=()):
        self.seen = Seen(self.kept, stopped=stopped)
        self.presence = Presence(self.seen, self.kept, lag_us=LAG, clock=lambda: at_us)

    def judge(self, at_us, *gpus, standing=()):
        """Return what holds of each subject at an instant; `gpus` = (uuid, sampled at, up)."""
        samples = [GpuSample(at_us=at, gpu_uuid=uuid, host="h", up=up) for uuid, at, up in gpus]
        found = self.presence.judge(Frame.of("gpu_samples", samples), Frame.of("events", []), standing, at_us)
        return {(each.name, each.labels.get("agent") or each.labels["gpu_uuid"]): each for each in found}

    def holds(self, name, subject, at_us, *gpus, **more):
        return self.judge(at_us, *gpus, **more)[name, subject].holds


@pytest.fixture
def watched(kept):
    return Watched(kept)


def test_a_heard_agent_is_well_and_a_silent_one_is_a_ticket_that_says_since_when(watched):
    watched.seen.note("a", batch(START), START)
    assert watched.holds(AGENT_SILENT, "a", START + LAG) is Holds.NO
    found = watched.judge(START + LAG + S)[AGENT_SILENT, "a"]
    assert (found.holds, found.since_us, found.severity) == (Holds.YES, START, Severity.TICKET)
    assert "has not been heard for 61 s" in found.annotations["summary"]


def test_an_agent_that_was_stopped_in_order_is_no_alert(watched):
    watched.seen.note("a", batch(START), START)
    watched.seen.note("a", batch(START + S, stop=True), START + S)
    assert watched.holds(AGENT_SILENT, "a", START + 10 * LAG) is Holds.NO
    assert watched.holds(GPU_MISSING, "GPU-1", START + 10 * LAG) is Holds.UNKNOWN


def test_an_agent_that_starts_again_is_expected_again(watched):
    watched.seen.note("a", batch(START, stop=True), START)
    watched.seen.note("a", batch(START + S), START + S)
    assert watched.holds(AGENT_SILENT, "a", START + 2 * LAG) is Holds.YES


def test_the_backlog_does_not_undo_what_the_newest_batch_said(watched):
    watched.seen.note("a", batch(START + S), START + S)
    watched.seen.note("a", batch(START - 9 * S, stop=True), START + 2 * S)
    (agent,) = watched.seen.agents()
    assert not agent.stopped and agent.sealed_us == START + S


def test_a_revoked_token_ends_the_expectation(watched):
    watched.seen.note("a", batch(START), START)
    watched.kept.tokens.revoke("a", now_us=1)
    assert watched.holds(AGENT_SILENT, "a", START + 10 * LAG) is Holds.NO


def test_after_a_start_of_ours_nothing_is_said_before_there_was_time_to_be_heard(watched):
    watched.seen.note("a", batch(START), START)
    watched.seen.step()
    restart = START + 100 * LAG
    watched.begin(restart)
    assert watched.holds(AGENT_SILENT, "a", restart + LAG - 1) is Holds.UNKNOWN
    assert watched.holds(AGENT_SILENT, "a", restart + LAG) is Holds.YES


def test_a_restart_remembers_who_ended_in_order(watched):
    watched.seen.note("a", batch(START), START)
    watched.seen.step()
    watched.begin(START + 100 * LAG, stopped=["a"])
    assert watched.holds(AGENT_SILENT, "a", START + 200 * LAG) is Holds.NO


def test_a_gpu_that_its_agent_no_longer_tells_of_is_missing(watched):
    at = START + 2 * LAG
    for sealed in (START, START + LAG // 2, START + LAG, START + LAG * 3 // 2, at):
        watched.seen.note("a", batch(sealed), sealed)
    assert watched.holds(GPU_MISSING, "GPU-1", at, ("GPU-1", at - LAG, True)) is Holds.NO
    assert watched.holds(GPU_MISSING, "GPU-1", at + S, ("GPU-1", at - LAG, True)) is Holds.YES


def test_a_gpu_whose_driver_does_not_answer_is_lost(watched):
    watched.seen.note("a", batch(START), START)
    found = watched.judge(START + S, ("GPU-1", START + S, False), ("GPU-1", START, True))
    assert found[GPU_MISSING, "GPU-1"].holds is Holds.YES
    assert "its driver does not answer" in found[GPU_MISSING, "GPU-1"].annotations["summary"]


def test_nothing_is_known_of_the_gpus_of_a_silent_agent(watched):
    watched.seen.note("a", batch(START), START)
    watched.judge(START, ("GPU-1", START, True))
    assert watched.holds(GPU_MISSING, "GPU-1", START + 3 * LAG) is Holds.UNKNOWN


def test_an_agent_that_comes_back_has_time_to_tell_of_its_gpus(watched):
    watched.seen.note("a", batch(START), START)
    back = START + 5 * LAG
    watched.seen.note("a", batch(back), back)
    assert watched.holds(GPU_MISSING, "GPU-1", back + S) is Holds.UNKNOWN


def test_a_retired_gpu_ends_its_alert(watched):
    alert = Alert(
        key="k",
        name=GPU_MISSING,
        labels={"gpu_uuid": "GPU-1", "host": "h"},
        state=AlertState.FIRING,
        state_since_us=1,
        severity=Severity.TICKET,
        annotations={},
    )
    watched.kept.fleet.retire("GPU-1", now_us=1)
    assert watched.holds(GPU_MISSING, "GPU-1", START, standing=[alert]) is Holds.NO
    assert (GPU_MISSING, "GPU-1") not in watched.judge(START)


def test_a_clock_is_told_by_the_batch_that_came_fastest(watched):
    for delay in (50 * S, 2 * S, 70 * S):
        watched.seen.note("a", batch(START, sealed_us=START - delay), START)
    assert watched.seen.agents()[0].clock_offset_us == -2 * S
    assert watched.holds(AGENT_CLOCK, "a", START) is Holds.NO


def test_a_clock_that_is_off_is_a_ticket(watched):
    watched.seen.note("a", batch(START, sealed_us=START + 45 * S), START)
    found = watched.judge(START)[AGENT_CLOCK, "a"]
    assert found.holds is Holds.YES and "45 s ahead of ours" in found.annotations["summary"]


def test_two_agents_under_one_name_are_a_ticket_until_one_alone_is_heard(watched):
    for second, boot in enumerate("bcbc"):
        watched.seen.note("a", batch(START + second * S, boot=boot), START + second * S)
    found = watched.judge(START + 4 * S)[AGENT_DOUBLE, "a"]
    assert found.holds is Holds.YES and "Two agents deliver as a" in found.annotations["summary"]
    watched.seen.note("a", batch(START + LAG, boot="c"), START + LAG)
    assert watched.holds(AGENT_DOUBLE, "a", START + LAG + 3 * S) is Holds.YES
    assert watched.holds(AGENT_DOUBLE, "a", START + LAG + 3 * S + 1) is Holds.NO


def test_an_agent_that_starts_again_and_again_is_one_its_backlog_included(watched):
    for second, boot in enumerate("bcdefghijk"):
        watched.seen.note("a", batch(START + second * S, boot=boot), START + second * S)
        watched.seen.note("a", batch(START - second * S, boot="b"), START + second * S)
    assert watched.holds(AGENT_DOUBLE, "a", START + 10 * S) is Holds.NO


def test_a_long_silence_begins_the_time_anew(watched):
    watched.seen.note("a", batch(START), START)
    watched.seen.note("a", batch(START + BACK_AFTER_US), START + BACK_AFTER_US)
    assert watched.seen.agents()[0].back_us == START
    later = START + 2 * BACK_AFTER_US + 1
    watched.seen.note("a", batch(later), later)
    assert watched.seen.agents()[0].back_us == later


def test_a_simulated_fleet_is_remembered_for_ever(watched):
    watched.seen.note("a", batch(START, origin=Origin.SIMULATED), START)
    watched.seen.step()
    watched.begin()
    assert watched.seen.simulated


def test_a_gpu_its_agent_no_longer_tells_of_is_unheard_since_its_last_sample(watched):
    watched.seen.note("a", batch(START), START)
    watched.judge(START, ("GPU-1", START, True))
    assert watched.presence.unheard == ()
    later = START + LAG + S
    for at_us in range(START, later, 20 * S):
        watched.seen.note("a", batch(at_us), at_us)
    watched.judge(later)
    assert [(each.gpu.gpu_uuid, each.since_us) for each in watched.presence.unheard] == [("GPU-1", START)]
    watched.judge(later, ("GPU-1", later, False))
    assert watched.presence.unheard == ()  # lost is told by its agent


def test_the_gpus_of_a_silent_agent_are_unheard_until_it_is_stopped_in_order(watched):
    watched.seen.note("a", batch(START + S), START + S)
    watched.judge(START + S, ("GPU-1", START, True))
    watched.judge(START + 2 * LAG)
    assert [each.since_us for each in watched.presence.unheard] == [START + S]
    watched.seen.note("a", batch(START + 2 * LAG, stop=True), START + 2 * LAG)
    watched.judge(START + 9 * LAG)
    assert watched.presence.unheard == ()


def test_after_a_start_nothing_is_unheard_until_there_was_time_to_be_heard(watched):
    watched.seen.note("a", batch(START - 9 * LAG), START - 9 * LAG)
    watched.judge(START + LAG - S)
    assert watched.presence.unheard == ()
    watched.judge(START + LAG + S)
    assert [each.since_us for each in watched.presence.unheard] == [START]
