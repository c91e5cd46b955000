"""Model FLOPs and bandwidth utilisation from an engine's counters. Pure.

    MFU = FLOP/s of the model's work / (GPUs x peak)        MBU = bytes/s / (GPUs x bandwidth)

The work is the engine's own count where it keeps one (`estimated_flops_per_gpu` and the bytes
beside it of vLLM and SGLang). Otherwise it follows from tokens and the model's parameters:
2 FLOP a parameter and token computed, prompt tokens found in the prefix cache left out and
attention with them, so that it is a lower bound; each decode step reads the weights once and the
KV cache of what runs: steps/s = (tokens - accepted drafts)/s / mean running requests (decode
roofline as in Databricks' MBU). A value above 1 is impossible and absent: the parameters are wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from collector.efficiency.peaks import Peak
from telemetry.counters import increase
from telemetry.samples import EngineSample
from telemetry.units import MICROS_PER_SECOND

FLOPS_PER_PARAMETER: Final = 2


class Basis(StrEnum):
    """Where the amount of work comes from: the engine counts it, or it follows from the parameters."""

    ENGINE = "engine"
    PARAMETERS = "parameters"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """What of a model's size decides its work.

    `active_parameters` take part in each token (all of them unless it is a mixture of experts);
    `weight_bytes` is bytes a weight; `kv_bytes_per_token` over all layers, None = KV reads left
    out; `dtype` is the format it computes in.
    """

    parameters: int
    active_parameters: int
    weight_bytes: float = 2.0
    kv_bytes_per_token: int | None = None
    dtype: str = "bf16"

    @property
    def weights_bytes(self) -> int:
        """Return what all the weights take."""
        return round(self.parameters * self.weight_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The GPUs of one replica: all of one model."""

    peak: Peak
    gpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """Shares 0..1 of the peaks, and what the work is known from; None = cannot be known."""

    mfu_ratio: float | None
    mbu_ratio: float | None
    basis: Basis


def efficiency(samples: Sequence[EngineSample], board: Board, shape: ModelShape | None) -> Efficiency | None:
    """Return the efficiency between the first and the last of a replica's samples, oldest first.

    None when nothing can be known: fewer than two samples, no counter, a GPU without the format.
    """
    if len(samples) < 2 or samples[-1].at_us <= samples[0].at_us:
        return None
    seconds = (samples[-1].at_us - samples[0].at_us) / MICROS_PER_SECOND
    dtype = shape.dtype if shape else "bf16"
    peak_flops = board.peak.flops(dtype)
    flops = _grown(samples, lambda sample: sample.flops_total)
    if flops is not None:
        moved = _moved(samples)
        basis, gpus = Basis.ENGINE, 1  # it counts for each GPU
    elif shape is not None:
        flops, moved = _model_flops(samples, shape), _model_bytes(samples, shape)
        basis, gpus = Basis.PARAMETERS, board.gpus
    else:
        return None
    found = Efficiency(
        mfu_ratio=_share(flops, seconds, gpus * peak_flops if peak_flops else None),
        mbu_ratio=_share(moved, seconds, gpus * board.peak.bytes_per_second),
        basis=basis,
    )
    return None if found.mfu_ratio is None and found.mbu_ratio is None else found


def _share(amount: float | None, seconds: float, peak: float | None) -> float | None:
    if amount is None or peak is None:
        return None
    share = amount / seconds / peak
    return share if share <= 1 else None


def _grown(samples: Sequence[EngineSample], counter: Callable[[EngineSample], int | None]) -> float | None:
    """Return how much a counter grew over the samples, restarts included; None = not told throughout."""
    total = 0.0
    for before, after in pairwise(samples):
        step = increase(counter(before), counter(after))
        if step is None:
            return None
        total += step
    return total


def _moved(samples: Sequence[EngineSample]) -> float | None:
    read = _grown(samples, lambda sample: sample.read_bytes_total)
    written = _grown(samples, lambda sample: sample.write_bytes_total)
    return None if read is None else read + (written or 0.0)


def _model_flops(samples: Sequence[EngineSample], shape: ModelShape) -> float | None:
    prompt = _grown(samples, lambda sample: sample.prompt_tokens_total)
    generated = _grown(samples, lambda sample: sample.generation_tokens_total)
    if prompt is None or generated is None:
        return None
    cached = _grown(samples, lambda sample: sample.prefix_hits_total) or 0.0
    return FLOPS_PER_PARAMETER * shape.active_parameters * (max(0.0, prompt - cached) + generated)


def _model_bytes(samples: Sequence[EngineSample], shape: ModelShape) -> float | None:
    generated = _grown(samples, lambda sample: sample.generation_tokens_total)
    running = _mean([sample.requests_running for sample in samples])
    if generated is None or running is None:
        return None
    if not running:
        return 0.0 if not generated else None
    accepted = _grown(samples, lambda sample: sample.accepted_draft_tokens_total) or 0.0
    steps = max(0.0, generated - accepted) / running
    context = _mean([_context_tokens(sample) for sample in samples])
    kv = (context or 0.0) * (shape.kv_bytes_per_token or 0)
    return steps * (shape.active_parameters * shape.weight_bytes + kv)


def _context_tokens(sample: EngineSample) -> float | None:
    """Return the tokens whose keys and values running requests hold."""
    if sample.kv_usage_ratio is None or sample.kv_blocks is None or sample.kv_block_tokens is None:
        return None
    return sample.kv_usage_ratio * sample.kv_blocks * sample.kv_block_tokens


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
