"""Samples of GPUs and engines: held against a threshold, or there at all."""

from __future__ import annotations

from decimal import Decimal

import pytest

from slo.cells import fold
from slo.errors import ObjectiveError
from slo.indicators.engine_absence import EngineAbsence
from slo.indicators.engine_predicate import EnginePredicate
from slo.indicators.engine_threshold import EngineThreshold
from slo.indicators.gpu_absence import GpuAbsence
from slo.indicators.gpu_predicate import GpuPredicate
from slo.indicators.gpu_threshold import GpuThreshold
from slo.samples import Op
from telemetry.frame import Frame
from telemetry.identity import Vantage
from telemetry.samples import EngineSample, GpuSample

GOOD, BAD, UNCOUNTED = (1, 1), (0, 1), (0, 0)
ROUTERS = {"vantage": Vantage.EDGE}
CROWDED = GpuPredicate("memory_used_bytes < 0.95 * memory_total_bytes")
KEEPS_UP = EnginePredicate("requests_waiting <= requests_running", "state == 'ready'")


def frame(table, *changes):
    common = {
        "gpu_samples": (GpuSample, {"at_us": 1, "gpu_uuid": "GPU-1", "host": "a"}),
        "engine_samples": (EngineSample, {"at_us": 1, "replica": "a:1", "host": "a", "engine": "vllm"}),
    }
    record, values = common[table]
    return Frame.of(table, [record(**values | change) for change in changes])


def hot(op, value="85"):
    return GpuThreshold("temperature_celsius", Decimal(value), op)


def waiting(op, value):
    return EngineThreshold("requests_waiting", Decimal(value), op)


@pytest.mark.parametrize(
    ("indicator", "sample", "verdict"),
    [
        (hot(Op.AT_MOST), {"temperature_celsius": 85.0}, GOOD),
        (hot(Op.AT_MOST), {"temperature_celsius": 85.1}, BAD),
        (hot(Op.BELOW), {"temperature_celsius": 85.0}, BAD),
        (hot(Op.AT_LEAST), {"temperature_celsius": 85.0}, GOOD),
        (hot(Op.ABOVE), {"temperature_celsius": 85.0}, BAD),
        (hot(Op.AT_MOST), {"temperature_celsius": None}, UNCOUNTED),
        (hot(Op.AT_MOST), {"up": False}, UNCOUNTED),
        (GpuThreshold("remap_failed", Decimal(0)), {"remap_failed": True}, BAD),
        (GpuThreshold("remap_failed", Decimal(0)), {"remap_failed": False}, GOOD),
        (CROWDED, {"memory_used_bytes": 94, "memory_total_bytes": 100}, GOOD),
        (CROWDED, {"memory_used_bytes": 95, "memory_total_bytes": 100}, BAD),
        (CROWDED, {"memory_used_bytes": 95}, UNCOUNTED),
        (KEEPS_UP, {"requests_waiting": 1, "requests_running": 1, "state": "ready"}, GOOD),
        (KEEPS_UP, {"requests_waiting": 2, "requests_running": 1, "state": "ready"}, BAD),
        (KEEPS_UP, {"requests_waiting": 2, "requests_running": 1}, UNCOUNTED),
        (KEEPS_UP, {"requests_waiting": 2, "requests_running": 1, "state": "ready"} | ROUTERS, UNCOUNTED),
        (GpuAbsence(), {}, GOOD),
        (GpuAbsence(), {"up": False}, BAD),
        (waiting(Op.AT_MOST, "3.5"), {"requests_waiting": 3}, GOOD),
        (waiting(Op.AT_MOST, "3.5"), {"requests_waiting": 4}, BAD),
        (waiting(Op.BELOW, "3"), {"requests_waiting": 3}, BAD),
        (waiting(Op.BELOW, "3.5"), {"requests_waiting": 3}, GOOD),
        (waiting(Op.AT_LEAST, "3.5"), {"requests_waiting": 3}, BAD),
        (waiting(Op.AT_LEAST, "3.5"), {"requests_waiting": 4}, GOOD),
        (waiting(Op.ABOVE, "3.5"), {"requests_waiting": 3}, BAD),
        (waiting(Op.ABOVE, "3"), {"requests_waiting": 4}, GOOD),
        (waiting(Op.AT_MOST, 2**53), {"requests_waiting": 2**53 + 1}, BAD),
        (waiting(Op.AT_MOST, "3"), {"requests_waiting": 3} | ROUTERS, UNCOUNTED),
        (waiting(Op.AT_MOST, "3"), {"requests_waiting": None}, UNCOUNTED),
        (EngineAbsence(), {}, GOOD),
        (EngineAbsence(), {"up": False}, BAD),
        (EngineAbsence(), {"up": False} | ROUTERS, UNCOUNTED),
    ],
)
def test_edge_rule(indicator, sample, verdict):
    verdicts = indicator.judge(frame(indicator.table, sample))
    assert (int(verdicts.good[0]), int(verdicts.total[0])) == verdict


def test_samples_are_grouped_and_selected_by_their_own_columns(objective_of):
    rows = frame("gpu_samples", {}, {"up": False, "host": "b"}, {"gpu_model": "H100", "host": "b"})
    cells = fold(rows, objective_of(indicator=GpuAbsence(), group_by=("host",)))
    assert (cells.keys, cells.good.tolist(), cells.total.tolist()) == ((("a",), ("b",)), [1, 1], [1, 2])
    assert fold(rows, objective_of(indicator=GpuAbsence(), selector=(("gpu_model", "H100"),))).sums() == (
        1,
        1,
    )


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("temperature_celcius", "85", "did you mean temperature_celsius"),
        ("energy_millijoules_total", "85", "no number 'energy_millijoules_total'"),
        ("host", "85", "no number 'host'"),
        ("at_us", "85", "no number 'at_us'"),
        ("power_watts", "1e30", "out of range"),
        ("power_watts", "NaN", "out of range"),
    ],
)
def test_what_cannot_be_compared_is_refused(column, value, reason):
    with pytest.raises(ObjectiveError, match=reason):
        GpuThreshold(column, Decimal(value))


def test_the_promise_says_the_side():
    assert hot(Op.BELOW).promise() == "temperature_celsius below 85"
    assert waiting(Op.AT_LEAST, "0.50").promise() == "requests_waiting at least 0.50"
