"""A host with fewer GPUs than it should have: a ticket by the agent's word, ended by its word."""

from __future__ import annotations

from alerts.state import Alert, AlertState
from service.fleet.shortage import GPUS_SHORT, conditions
from telemetry.condition import Holds, Severity
from telemetry.events import Event, EventKind
from telemetry.frame import Frame

NOW, SECOND = 1_700_000_000_000_000, 1_000_000


def told(kind, code, at_us=NOW, host="h", gpu=None):
    return Event(at_us=at_us, kind=kind, host=host, gpu_uuid=gpu, code=code, message="7 of 8 are here")


def holds(*events, hosts=("h",), standing=()):
    return {
        each.labels["host"]: each.holds for each in conditions(Frame.of("events", events), hosts, standing)
    }


def alert(host="h"):
    return Alert(
        key="k", name=GPUS_SHORT, labels={"host": host}, state=AlertState.FIRING, state_since_us=NOW,
        severity=Severity.TICKET, annotations={}, since_us=NOW,
    )  # fmt: skip


def test_a_gpu_that_was_never_seen_is_a_ticket_in_the_agents_words():
    (found,) = conditions(Frame.of("events", [told(EventKind.GPU_LOST, 1)]), ("h",), ())
    assert (found.holds, found.severity, found.since_us) == (Holds.YES, Severity.TICKET, NOW)
    assert found.annotations["summary"] == "Host h: 7 of 8 are here."


def test_the_newest_word_of_a_host_counts():
    lost, back = told(EventKind.GPU_LOST, 1), told(EventKind.GPU_BACK, 0, NOW + SECOND)
    assert holds(back, lost) == {"h": Holds.NO}
    assert holds(lost, told(EventKind.GPU_LOST, 1, host="h2"), hosts=("h", "h2")) == {
        "h": Holds.YES,
        "h2": Holds.YES,
    }


def test_a_missing_gpu_with_a_name_is_the_business_of_its_own_alert():
    assert holds(told(EventKind.GPU_LOST, 0)) == {"h": Holds.NO}
    assert holds(told(EventKind.GPU_LOST, 15, gpu="GPU-1")) == {}


def test_it_ends_with_the_agents_end_in_order_and_not_by_silence():
    assert holds(standing=[alert()]) == {}
    assert holds(standing=[alert()], hosts=()) == {"h": Holds.NO}
    assert holds(told(EventKind.GPU_LOST, 1), hosts=()) == {}
