"""What is billed and what serves: GPUs, the instances that hold them, and their states."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from cost.classes import InstanceState, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficients:
    """Modelled step time in nanoseconds (theta of WCS-1): fixed part and marginal parts.

    A step costs `step` once, and for each request in it: `prefill` a computed prompt token,
    `verify` a draft token, `decode` an output token, `context` a token of KV cache read,
    `cached` a prompt token found in the cache. Only their ratios matter to a bill.

    Defaults: an 8B model on an H100 (reference cost 2.2: 6.5 ms + 0.147 ms a sequence), the
    second part taken as 50 us and the read of 1,600 tokens of 128 KiB at 64 % of 3.35 TB/s.
    """

    step: float = 6_500_000.0
    prefill: float = 35_000.0
    verify: float = 50_000.0
    decode: float = 50_000.0
    context: float = 61.0
    cached: float = 0.0


@dataclass(frozen=True, slots=True)
class Gpu:
    """One billed GPU. `model` None = not known."""

    uuid: str
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """A GPU an instance runs on, and which part of it (MIG slices / 7, a declared core share)."""

    gpu: Gpu
    share: Fraction = Fraction(1)


@dataclass(frozen=True, slots=True)
class StateSpan:
    """The instance was in `state` during [from_us, to_us)."""

    from_us: int
    to_us: int
    state: InstanceState


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """What serves requests: a replica with all GPUs of its tensor-parallel group, or a pool.

    `states` must not overlap; time that no span covers is unobserved. With
    `Scope.POOL` it holds every GPU of a pool whose requests name no replica: conservation is
    as exact, but the split among requests assumes one shared batch, and rows say `pool`.
    `reference_batch` turns the headroom class on: the batch size up to which a lone request
    does not pay for the empty seats.
    """

    name: str
    holdings: tuple[Holding, ...]
    states: tuple[StateSpan, ...]
    pool: str | None = None
    model: str | None = None
    scope: Scope = Scope.REPLICA
    coefficients: Coefficients = field(default_factory=Coefficients)
    reference_batch: int | None = None

    def __post_init__(self) -> None:
        ordered = sorted(self.states, key=lambda span: span.from_us)
        if any(later.from_us < earlier.to_us for earlier, later in pairwise(ordered)):
            raise ValueError(f"bill {self.name}: its state spans overlap; cut them where the state changes")
        if any(not 0 < holding.share <= 1 for holding in self.holdings):
            raise ValueError(f"bill {self.name}: a share of a GPU must be above 0 and at most 1")
