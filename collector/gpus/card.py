"""What a board is and how it is set: what a person wants to know of a GPU once, not every second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pynvml

from collector.gpus.nvml import Session, ask, call


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A board's marks and settings; None = not told. A pair is (now, after the next reset)."""

    serial: str | None
    part: str | None
    vbios: str | None
    capability: tuple[int, int] | None
    """CUDA compute capability: 8.0 Ampere, 8.9 Ada, 9.0 Hopper, 10 and 12 Blackwell."""
    cores: int | None
    bus_bits: int | None
    limits_milliwatts: tuple[int, int] | None
    """The lowest and the highest power limit that can be set."""
    pcie_generation_max: int | None
    persistence: bool | None
    ecc: tuple[bool, bool] | None
    mig: tuple[bool, bool] | None
    cuda_version: int | None
    """The newest CUDA that the driver serves, as 13010 for 13.1."""


def read_card(session: Session, uuid: str) -> Card:
    """Return what a GPU is; a dozen driver calls. Raises `DriverError` or `DriverBusy`."""
    with session.use():
        handle = call(pynvml.nvmlDeviceGetHandleByUUID, uuid)
        persistence = ask(pynvml.nvmlDeviceGetPersistenceMode, handle)
        return Card(
            serial=ask(pynvml.nvmlDeviceGetSerial, handle),
            part=ask(pynvml.nvmlDeviceGetBoardPartNumber, handle),
            vbios=ask(pynvml.nvmlDeviceGetVbiosVersion, handle),
            capability=_pair(ask(pynvml.nvmlDeviceGetCudaComputeCapability, handle)),
            cores=ask(pynvml.nvmlDeviceGetNumGpuCores, handle),
            bus_bits=ask(pynvml.nvmlDeviceGetMemoryBusWidth, handle),
            limits_milliwatts=_pair(ask(pynvml.nvmlDeviceGetPowerManagementLimitConstraints, handle)),
            pcie_generation_max=ask(pynvml.nvmlDeviceGetMaxPcieLinkGeneration, handle),
            persistence=None if persistence is None else bool(persistence),
            ecc=_switch(ask(pynvml.nvmlDeviceGetEccMode, handle)),
            mig=_switch(ask(pynvml.nvmlDeviceGetMigMode, handle)),
            cuda_version=ask(pynvml.nvmlSystemGetCudaDriverVersion_v2),
        )


def described(card: Card) -> str:
    """Return a card in a sentence, without what it does not tell."""
    facts = (
        ("part", card.part),
        ("serial", card.serial),
        ("VBIOS", card.vbios),
        ("compute", card.capability and ".".join(map(str, card.capability))),
        ("cores", card.cores and f"{card.cores:,}"),
        ("memory bus", card.bus_bits and f"{card.bus_bits:,} bit"),
        ("PCIe", card.pcie_generation_max and f"up to {card.pcie_generation_max}.0"),
        (
            "limit",
            card.limits_milliwatts and "{:.0f}-{:.0f} W".format(*(mw / 1e3 for mw in card.limits_milliwatts)),
        ),
        ("CUDA", card.cuda_version and f"{card.cuda_version // 1000}.{card.cuda_version % 1000 // 10}"),
        ("ECC", card.ecc and _word(card.ecc[0])),
        ("MIG", card.mig and _word(card.mig[0])),
    )
    return ", ".join(f"{name} {fact}" for name, fact in facts if fact) + "."


def concerns(card: Card) -> Iterator[str]:
    """Yield what a person should know before trusting this board's numbers."""
    if card.persistence is False:
        yield "persistence is off: its counters begin anew whenever no program holds it (nvidia-smi -pm 1)"
    for name, pair in (("ECC", card.ecc), ("MIG", card.mig)):
        if pair and pair[0] != pair[1]:
            yield f"{name} will be {_word(pair[1])} after the next reset"


def _word(on: bool) -> str:  # noqa: FBT001 - the word of a switch
    return "on" if on else "off"


def _pair(told: Any) -> tuple[int, int] | None:
    return None if told is None else (told[0], told[1])


def _switch(told: Any) -> tuple[bool, bool] | None:
    return None if told is None else (bool(told[0]), bool(told[1]))
