"""The demo's script: what arrives and what goes wrong, as data, and how it is played.

Healthy at first; from 15 s one chat replica is wedged (requests wait beside two idle GPUs); from
20 s the code pool gets six times its load (KV fills, requests queue while tokens flow); both end
within a minute and a half, and the fleet recovers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import aiohttp

from simulator.arrivals import Arrival, Length, Surge, Tenant, Traffic, generate, merged
from simulator.errors import SimulatorError
from simulator.faults import Fault, FaultKind
from simulator.fleets import CHAT_POOL, CODE_POOL
from simulator.load import Limits, LoadReport, Played, Target, play
from telemetry.units import MICROS_PER_SECOND

DRAIN_SECONDS: Final = 5.0
_S: Final = MICROS_PER_SECOND

FAULTS: Final = (
    Fault(kind=FaultKind.WEDGE, replica="chat-1", start_us=15 * _S, end_us=75 * _S),
    Fault(kind=FaultKind.OVERLOAD, pool=CODE_POOL, start_us=20 * _S, end_us=65 * _S, factor=6.0),
)
"""What goes wrong in the demo, counted from its start."""

_CHAT_TENANTS: Final = (
    Tenant(name="acme", weight=5, prefix_tokens=400),
    Tenant(name="globex", weight=3, prefix_tokens=200),
    Tenant(name="initech", weight=1),
)
_CODE_TENANTS: Final = (Tenant(name="acme", weight=1, prefix_tokens=600), Tenant(name="hooli", weight=2))
TENANTS: Final = tuple(sorted({tenant.name for tenant in (*_CHAT_TENANTS, *_CODE_TENANTS)}))
"""Every tenant of the demo, for the proxy's table of keys (`simulator.load.tenant_key`)."""


def surges(faults: Sequence[Fault], pool: str) -> tuple[Surge, ...]:
    """Return the overloads among the faults as what they do to a pool's arrivals."""
    return tuple(
        Surge(start_us=fault.start_us, end_us=fault.end_us, factor=fault.factor)
        for fault in faults
        if fault.kind is FaultKind.OVERLOAD and fault.pool == pool
    )


def traffic(faults: Sequence[Fault] = FAULTS) -> tuple[Traffic, ...]:
    """Return what arrives at the demo's pools, overloads included."""
    return (
        Traffic(
            pool=CHAT_POOL,
            rate_per_second=2.5,
            prompt=Length(median=500, sigma=0.7, most=3000),
            output=Length(median=110, sigma=0.5, most=400),
            tenants=_CHAT_TENANTS,
            surges=surges(faults, CHAT_POOL),
            impatient_ratio=0.02,
            patience_us=3 * _S,
        ),
        Traffic(
            pool=CODE_POOL,
            rate_per_second=1.0,
            prompt=Length(median=1200, sigma=0.5, most=4000),
            output=Length(median=130, sigma=0.4, most=400),
            tenants=_CODE_TENANTS,
            surges=surges(faults, CODE_POOL),
        ),
    )


def arrivals(*, seed: int, until_us: int, faults: Sequence[Fault] = FAULTS) -> Iterator[Arrival]:
    """Yield everything that arrives in the demo before `until_us`, in order of time."""
    return merged([generate(stream, seed=seed, until_us=until_us) for stream in traffic(faults)])


async def play_demo(
    targets: Mapping[str, Target],
    control_url: str,
    *,
    seconds: float,
    seed: int = 1,
    limits: Limits | None = None,
    told: Callable[[Played], None] | None = None,
) -> LoadReport:
    """Order the demo's faults and play its arrivals for `seconds`, both counted from now.

    `targets` (by pool) are the proxies, `control_url` any simulated replica. Raises
    `SimulatorError` when the simulator refuses a fault or does not answer.
    """
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10.0)) as session:
        for fault in FAULTS:
            if fault.kind is not FaultKind.OVERLOAD:
                await _order(session, control_url, fault)
    until_us = int(seconds * MICROS_PER_SECOND)
    return await play(arrivals(seed=seed, until_us=until_us), targets, limits=limits, told=told)


async def _order(session: aiohttp.ClientSession, control_url: str, fault: Fault) -> None:
    body = {
        "kind": fault.kind.value,
        "replica": fault.replica,
        "after_s": fault.start_us / MICROS_PER_SECOND,
        "for_s": (fault.end_us - fault.start_us) / MICROS_PER_SECOND,
    }
    url = f"{control_url}/simulated/fault"
    try:
        async with session.post(url, json=body) as answer:
            if answer.status != 202:
                text = (await answer.text())[:200]
                raise SimulatorError(f"order {fault.kind} at {url}: refused ({text})")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SimulatorError(f"order {fault.kind} at {url}: {error}; is the simulator running?") from None


def run_demo(targets: Mapping[str, Target], control_url: str, *, seconds: float, seed: int = 1) -> LoadReport:
    """Play the demo from a process of its own; see `play_demo`. Clients leave soon after its end."""
    limits = Limits(drain_seconds=DRAIN_SECONDS)
    return asyncio.run(play_demo(targets, control_url, seconds=seconds, seed=seed, limits=limits))
