"""The table of peaks against arithmetic, and against the names drivers use."""

from __future__ import annotations

import pytest

from collector.efficiency.peaks import DTYPES, PEAKS, peak_of

CITED = [peak for peak in PEAKS if not peak.solved]


def name(peak):
    return peak.names[0]


@pytest.mark.parametrize("peak", CITED, ids=name)
def test_a_published_peak_is_clock_times_units(peak):
    computed = peak.tensor_cores * peak.multiply_adds * 2 * peak.clock_mhz * 1e6 / 1e12
    assert computed == pytest.approx(peak.teraflops, rel=0.01)


@pytest.mark.parametrize("peak", PEAKS, ids=name)
def test_a_published_bandwidth_is_bus_width_times_clock(peak):
    computed = peak.bus_bits * peak.memory_mhz * 1e6 * 2 / 8 / 1e9
    assert computed == pytest.approx(peak.gigabytes_per_second, rel=0.03)


def test_at_least_twelve_models_prove_themselves():
    assert len(CITED) >= 12
    assert all(peak.source for peak in PEAKS)


def test_every_name_is_of_one_row():
    names = [name for peak in PEAKS for name in peak.names]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "gpu_model",
    [
        "NVIDIA A10G",
        "nvidia l40s",
        "L40S",
        "NVIDIA H100",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA A100",
        "",
        None,
    ],
)
def test_an_unknown_gpu_has_no_peak_not_a_neighbours(gpu_model):
    assert peak_of(gpu_model) is None


@pytest.mark.parametrize(
    ("gpu_model", "dtype", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", "bf16", 989.4),
        ("NVIDIA H100 80GB HBM3", "fp8", 1978.8),
        ("NVIDIA B200", "fp4", 9000),
        ("NVIDIA A100-SXM4-80GB", "int8", 624),
        ("NVIDIA A100-SXM4-80GB", "fp8", None),
        ("Tesla T4", "bf16", None),
        ("Tesla T4", "fp16", 65),
    ],
)
def test_a_format_a_gpu_does_not_have_has_no_peak(gpu_model, dtype, teraflops):
    flops = peak_of(gpu_model).flops(dtype)
    assert dtype in DTYPES
    assert flops == (None if teraflops is None else pytest.approx(teraflops * 1e12))
