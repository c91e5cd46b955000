"""Units, gaps, identities and the catalogue."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.catalog import ENGINE_LABELS, GPU_LABELS, METRICS, MetricKind
from telemetry.columns import TABLE, Kind
from telemetry.gaps import BOUNDS_US, BUCKETS, bucket_counts, bucket_of
from telemetry.identity import Replica, gpu_without_uuid, is_real_uuid
from telemetry.units import micros, nano, seconds


@pytest.mark.parametrize(
    ("text", "expected"), [("0.1", 100_000), ("0.07012849906459451", 70_128), ("1e-6", 1), ("2", 2_000_000)]
)
def test_seconds_become_the_microseconds_their_text_says(text, expected):
    assert micros(text) == expected


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "NaN"])
def test_nan_never_becomes_a_duration(bad):
    with pytest.raises(ValueError, match="finite"):
        micros(bad)


def test_a_duration_that_was_not_measured_stays_so():
    assert seconds(None) is None


def test_money_is_exact():
    assert nano(Decimal("1.10")) == 1_100_000_000


@given(st.lists(st.integers(0, 10**8), max_size=50))
def test_every_gap_is_in_exactly_one_bucket(gaps):
    counts = bucket_counts(gaps)
    assert len(counts) == BUCKETS
    assert sum(counts) == len(gaps)


@pytest.mark.parametrize("edge", range(BUCKETS - 1))
def test_the_upper_edge_of_a_bucket_belongs_to_it(edge):
    assert bucket_of(BOUNDS_US[edge]) == edge
    assert bucket_of(BOUNDS_US[edge] + 1) == edge + 1


def test_a_replica_is_written_as_host_port_and_rank():
    assert str(Replica("gpu-1", "8000")) == "gpu-1:8000"
    assert str(Replica("gpu-1", "8000", 3)) == "gpu-1:8000#3"


def test_a_stand_in_for_a_uuid_is_never_taken_for_one():
    assert not is_real_uuid(gpu_without_uuid("host", "0"))
    assert is_real_uuid("GPU-8d1f")


def test_exported_names_are_unique_and_end_in_a_base_unit():
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))
    assert [name for name in names if re.search(r"_(ms|us|mhz|millijoules|percent|mib)(_|$)", name)] == []


def test_counters_and_only_counters_end_in_total():
    assert [m.name for m in METRICS if (m.kind is MetricKind.COUNTER) != m.name.endswith("_total")] == []


def test_every_metric_is_read_from_a_numeric_column_that_exists():
    for metric in METRICS:
        assert TABLE[metric.table].column(metric.column).kind in {Kind.INT, Kind.FLOAT, Kind.FLAG}


def test_every_label_is_a_column():
    for label in GPU_LABELS:
        TABLE["gpu_samples"].column(label)
    for label in ENGINE_LABELS:
        TABLE["engine_samples"].column(label)
