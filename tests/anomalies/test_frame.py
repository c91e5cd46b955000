"""How facts become a grid: what is joined, what is masked, what counts as progress."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomalies.frame import build
from anomalies.grid import Grid, Signal, recently
from telemetry.frame import Frame
from telemetry.identity import UNMAPPED
from telemetry.placement import Placement, PlacementSource
from telemetry.requests import InFlightRequest, RequestRecord, Status
from telemetry.samples import ActivitySource, EngineSample, GpuSample, ReplicaState

SECOND = 1_000_000


def sample(at, replica="a", **columns):
    return EngineSample(at_us=at * SECOND, replica=replica, host="h", engine="vllm", **columns)


def frame(samples, *, gpus=(), placements=(), to=5, step=1, **options):
    return build(
        Frame.of("engine_samples", samples),
        Frame.of("gpu_samples", gpus),
        Frame.of("placements", placements),
        from_us=0,
        to_us=to * SECOND,
        step_us=step * SECOND,
        **options,
    )


def test_the_last_sample_of_a_cell_stands():
    made = frame([sample(1, requests_running=9), sample(0, requests_running=4)], to=10, step=5)
    assert made.running.values.tolist() == [[9, 0]] and made.running.known.tolist() == [[True, False]]


def test_what_was_not_measured_is_masked_and_zero_is_zero():
    made = frame([sample(0, requests_running=0), sample(1)])
    assert made.running.known.tolist() == [[True, False, False, False, False]]
    assert made.fresh.tolist() == [[True, True, False, False, False]]


def test_rows_outside_the_span_are_left_out():
    made = frame([sample(0, requests_running=1), sample(9, requests_running=5)])
    assert made.running.known.sum() == 1


def test_progress_is_growth_since_the_last_known_cell():
    made = frame([sample(0, generation_tokens_total=10), sample(3, generation_tokens_total=40)])
    assert made.progress.values[0, 3] == 30 and made.progress.known.tolist() == [
        [False, False, False, True, False]
    ]


def test_prompt_tokens_alone_do_not_tell_that_nothing_comes_out():
    made = frame(
        [sample(t, requests_running=1, prompt_tokens_total=5, kv_usage_ratio=None) for t in range(5)]
    )
    assert not made.counts_tokens[0] and not made.still.any()


def test_requests_that_end_are_progress_and_their_absence_is_not():
    ended = RequestRecord(request_id="r", model="m", replica="a", status=Status.OK, started_at_us=0,
                          ended_at_us=2 * SECOND, e2e_us=1)  # fmt: skip
    made = frame([sample(t, requests_running=1) for t in range(5)], requests=Frame.of("requests", [ended]))
    assert made.moving.tolist() == [[False, False, True, False, False]] and not made.still.any()


def test_a_replica_without_a_pool_belongs_to_its_models():
    assert frame([sample(0, model="m")]).pools == ("m",)
    assert frame([sample(0, model="m", pool="chat")]).pools == ("chat",)
    assert frame([sample(0)]).pools == (UNMAPPED,)


def test_a_placement_lends_pool_and_model():
    placed = Placement(at_us=0, replica="a", gpu_uuid="GPU-1", host="h", model="m", pool="chat")
    made = frame([sample(0)], placements=[placed])
    assert (made.pools, made.models, made.gpus) == (("chat",), ("m",), (("GPU-1",),))


def test_gpu_signals_are_means_over_the_replicas_gpus():
    placements = [Placement(at_us=0, replica="a", gpu_uuid=f"GPU-{n}", host="h") for n in (1, 2)]
    gpus = [GpuSample(at_us=0, gpu_uuid=f"GPU-{n}", host="h", sm_activity_ratio=n / 10) for n in (1, 2)]
    made = frame([sample(0)], gpus=gpus, placements=placements)
    assert made.sm_activity.values[0, 0] == pytest.approx(0.15) and not made.tensor_activity.known.any()


@pytest.mark.parametrize(
    ("source", "known"), [("gpm_counters", True), (None, True), ("clock_weighted", False), ("power", False)]
)
def test_an_estimate_is_no_evidence_of_sm_activity(source, known):
    placed = Placement(at_us=0, replica="a", gpu_uuid="GPU-1", host="h")
    told = None if source is None else ActivitySource(source)
    gpu = GpuSample(at_us=0, gpu_uuid="GPU-1", host="h", sm_activity_ratio=0.4, activity_source=told)
    assert frame([sample(0)], gpus=[gpu], placements=[placed]).sm_activity.known[0, 0] == known


def test_a_gpu_that_is_silent_does_not_hide_its_twin():
    placements = [Placement(at_us=0, replica="a", gpu_uuid=f"GPU-{n}", host="h") for n in (1, 2)]
    made = frame([sample(0)], gpus=[GpuSample(at_us=0, gpu_uuid="GPU-1", host="h", sm_activity_ratio=0.4)],
                 placements=placements)  # fmt: skip
    assert made.sm_activity.values[0, 0] == 0.4


def test_the_stronger_statement_about_a_gpu_counts():
    weak = Placement(at_us=9, replica="b", gpu_uuid="GPU-1", host="h", source=PlacementSource.PROCESS)
    strong = Placement(at_us=0, replica="a", gpu_uuid="GPU-1", host="h")
    made = frame([sample(0), sample(0, replica="b")], placements=[strong, weak])
    assert made.gpus == (("GPU-1",), ())


def test_a_placement_that_ended_holds_nothing():
    over = Placement(at_us=-9, replica="a", gpu_uuid="GPU-1", host="h", until_us=0)
    assert frame([sample(0)], placements=[over]).gpus == ((),)


def test_the_last_declared_state_is_kept():
    made = frame([sample(0, state=ReplicaState.STARTING), sample(1, state=ReplicaState.READY)])
    assert made.states == (ReplicaState.READY,)
    assert made.serving.tolist() == [[False, True, False, False, False]] and made.excused[0, 0]


def test_requests_in_flight_are_counted_from_the_last_snapshot():
    rows = [InFlightRequest(request_id=f"r{n}", at_us=at, started_at_us=0, model="m", replica="a")
            for at, many in ((0, 5), (SECOND // 2, 3)) for n in range(many)]  # fmt: skip
    made = frame([sample(0)], in_flight=Frame.of("in_flight", rows))
    assert made.in_flight.values[0, 0] == 3 and made.in_flight.known.sum() == 1


def test_the_routers_word_on_what_is_in_flight_goes_first():
    from telemetry.identity import Vantage

    rows = [InFlightRequest(request_id="r", at_us=0, started_at_us=0, model="m", replica="a")]
    router = sample(0, vantage=Vantage.EDGE, requests_running=7)
    assert frame([sample(0), router], in_flight=Frame.of("in_flight", rows)).in_flight.values[0, 0] == 7


def test_an_empty_span_is_refused():
    with pytest.raises(ValueError, match="positive span"):
        Grid.between(5, 5, 1)


MASKS = st.lists(st.booleans(), min_size=1, max_size=30)


@given(MASKS, st.integers(1, 8))
def test_recently_is_true_where_any_of_the_last_cells_was(mask, steps):
    expected = [any(mask[max(0, at - steps) : at + 1]) for at in range(len(mask))]
    assert recently(np.array([mask]), steps)[0].tolist() == expected


@given(st.lists(st.one_of(st.none(), st.integers(0, 9)), min_size=1, max_size=30), st.integers(1, 8))
def test_held_keeps_a_value_for_so_many_cells(values, steps):
    known = np.array([[value is not None for value in values]])
    signal = Signal(np.array([[float(value or 0) for value in values]]), known)
    held = signal.held(steps)
    for at in range(len(values)):
        seen = [value for value in values[max(0, at - steps) : at + 1] if value is not None]
        assert held.known[0, at] == bool(seen)
        assert held.values[0, at] == (seen[-1] if seen else 0)
