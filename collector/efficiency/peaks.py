"""What a GPU could do at most, as data: dense FLOP/s by number format, bytes a second of its memory.

Guarantees: every row's published peak is within 1 % of tensor cores x fused multiply-adds x 2 x
clock, and its bandwidth within 3 % of bus width x memory clock x 2 / 8, both recomputed by a test;
where the clock was found by solving the published peak for it, the row says so and that test
leaves it out. Dense figures only: the sparse ones of datasheets are twice as large. A GPU that is
not listed, by exactly the name its driver tells, has no peak: never a default.

Rates a tensor core and clock (dense, FP16 in, FP32 accumulated): Volta and Turing 64, GA100 256,
GA102 and Ada 128 on boards for data centres and workstations, half of that on GeForce and the
L40, Hopper 512, Blackwell 1,024 (NVIDIA's architecture papers of GV100, TU102, GA100, GA102 2.0,
AD102, GH100; AMD's CDNA 3 paper).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Rates = Mapping[str, int]
"""Number format to how many times the FP16 rate it runs at."""

_VOLTA: Final[Rates] = {"fp16": 1}
_TURING: Final[Rates] = {"fp16": 1, "int8": 2}
_AMPERE: Final[Rates] = {"fp16": 1, "bf16": 1, "int8": 2}
_WITH_FP8: Final[Rates] = {"fp16": 1, "bf16": 1, "int8": 2, "fp8": 2}
_BLACKWELL: Final[Rates] = {**_WITH_FP8, "fp4": 4}

DTYPES: Final = tuple(_BLACKWELL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """One board. `names` are what drivers call it; units are in the names of the fields.

    `teraflops` is the published dense FP16 or BF16 peak, `gigabytes_per_second` the published
    bandwidth; `solved` = the clock was found from `teraflops`, so that it proves nothing.
    """

    names: tuple[str, ...]
    rates: Rates
    teraflops: float
    tensor_cores: int
    multiply_adds: int
    clock_mhz: int
    gigabytes_per_second: float
    bus_bits: int
    memory_mhz: int
    source: str
    solved: bool = False

    def flops(self, dtype: str) -> float | None:
        """Return the dense peak in FLOP/s of a number format; None where the GPU has no such format."""
        rate = self.rates.get(dtype)
        return None if rate is None else self.teraflops * 1e12 * rate

    @property
    def bytes_per_second(self) -> float:
        """Return the memory's peak."""
        return self.gigabytes_per_second * 1e9


_STAS: Final = "stas00/ml-engineering, compute/accelerator/README.md"
_SYS: Final = "sysrqmts.com"

PEAKS: Final[tuple[Peak, ...]] = (
    Peak(
        names=("Tesla V100-SXM2-16GB", "Tesla V100-SXM2-32GB"),
        rates=_VOLTA,
        teraflops=125,
        tensor_cores=640,
        multiply_adds=64,
        clock_mhz=1530,
        gigabytes_per_second=900,
        bus_bits=4096,
        memory_mhz=877,
        source="NVIDIA V100 datasheet (boost 1530 MHz, HBM2 at 877 MHz)",
    ),
    Peak(
        names=("Tesla T4", "NVIDIA T4"),
        rates=_TURING,
        teraflops=65,
        tensor_cores=320,
        multiply_adds=64,
        clock_mhz=1590,
        gigabytes_per_second=320,
        bus_bits=256,
        memory_mhz=5001,
        source=f"{_SYS}/en/gpus/nvidia/tesla/t4",
    ),
    Peak(
        names=("NVIDIA A100-SXM4-80GB",),
        rates=_AMPERE,
        teraflops=312,
        tensor_cores=432,
        multiply_adds=256,
        clock_mhz=1410,
        gigabytes_per_second=2039,
        bus_bits=5120,
        memory_mhz=1593,
        source=_STAS,
    ),
    Peak(
        names=("NVIDIA A100 80GB PCIe",),
        rates=_AMPERE,
        teraflops=312,
        tensor_cores=432,
        multiply_adds=256,
        clock_mhz=1410,
        gigabytes_per_second=1935,
        bus_bits=5120,
        memory_mhz=1512,
        source=_STAS,
    ),
    Peak(
        names=("NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB", "A100-SXM4-40GB", "A100-PCIE-40GB"),
        rates=_AMPERE,
        teraflops=312,
        tensor_cores=432,
        multiply_adds=256,
        clock_mhz=1410,
        gigabytes_per_second=1555,
        bus_bits=5120,
        memory_mhz=1215,
        source=f"{_SYS}/gpus/compare/nvidia-a100-pcie-vs-nvidia-tesla-v100-pcie-16-gb",
    ),
    Peak(
        names=("NVIDIA A30",),
        rates=_AMPERE,
        teraflops=165,
        tensor_cores=224,
        multiply_adds=256,
        clock_mhz=1440,
        gigabytes_per_second=933,
        bus_bits=3072,
        memory_mhz=1215,
        source=f"{_SYS}/en/gpus/compare/nvidia-a30-pcie-vs-nvidia-jetson-tx1-gpu",
    ),
    Peak(
        names=("NVIDIA A40",),
        rates=_AMPERE,
        teraflops=149.7,
        tensor_cores=336,
        multiply_adds=128,
        clock_mhz=1740,
        gigabytes_per_second=696,
        bus_bits=384,
        memory_mhz=7251,
        source="gpu.spicedreamphone.com/en/gpu/a40-pcie-vs-geforce-rtx-3090; GA102 paper 2.0",
    ),
    Peak(
        names=("NVIDIA RTX A6000",),
        rates=_AMPERE,
        teraflops=154.8,
        tensor_cores=336,
        multiply_adds=128,
        clock_mhz=1800,
        gigabytes_per_second=768,
        bus_bits=384,
        memory_mhz=8001,
        source="pytorch/torchtitan, tools/utils.py (154.85); GA102 paper 2.0, appendix C",
    ),
    Peak(
        names=("NVIDIA A10",),
        rates=_AMPERE,
        teraflops=125,
        tensor_cores=288,
        multiply_adds=128,
        clock_mhz=1695,
        gigabytes_per_second=600,
        bus_bits=384,
        memory_mhz=6251,
        source=f"{_SYS} (A10); the A10G of a large cloud is another board and not listed",
    ),
    Peak(
        names=("NVIDIA GeForce RTX 3090",),
        rates=_AMPERE,
        teraflops=71,
        tensor_cores=328,
        multiply_adds=64,
        clock_mhz=1695,
        gigabytes_per_second=936,
        bus_bits=384,
        memory_mhz=9751,
        source="GA102 paper 2.0, appendix A",
    ),
    Peak(
        names=("NVIDIA GeForce RTX 4090",),
        rates=_WITH_FP8,
        teraflops=165.2,
        tensor_cores=512,
        multiply_adds=64,
        clock_mhz=2520,
        gigabytes_per_second=1008,
        bus_bits=384,
        memory_mhz=10501,
        source="hmc-tech.com/gpus/nvidia-geforce-rtx-4090-vs-nvidia-rtx-pro-5000-blackwell",
    ),
    Peak(
        names=("NVIDIA GeForce RTX 5090",),
        rates=_WITH_FP8,
        teraflops=209.5,
        tensor_cores=680,
        multiply_adds=64,
        clock_mhz=2407,
        gigabytes_per_second=1792,
        bus_bits=512,
        memory_mhz=14001,
        source="pocketmags.com/linux-format-magazine/may-2025 (838 sparse at FP16 accumulation)",
    ),
    Peak(
        names=("NVIDIA L40",),
        rates=_WITH_FP8,
        teraflops=181.05,
        tensor_cores=568,
        multiply_adds=64,
        clock_mhz=2490,
        gigabytes_per_second=864,
        bus_bits=384,
        memory_mhz=9001,
        source="mullet.se/product.html?product_id=355414; clock: pcpartdb.com",
    ),
    Peak(
        names=("NVIDIA L40S",),
        rates=_WITH_FP8,
        teraflops=362.05,
        tensor_cores=568,
        multiply_adds=128,
        clock_mhz=2490,
        gigabytes_per_second=864,
        bus_bits=384,
        memory_mhz=9001,
        source="mullet.se/product.html?product_id=355414",
        solved=True,
    ),
    Peak(
        names=("NVIDIA L4",),
        rates=_WITH_FP8,
        teraflops=121,
        tensor_cores=240,
        multiply_adds=128,
        clock_mhz=1969,
        gigabytes_per_second=300,
        bus_bits=192,
        memory_mhz=6251,
        source="Lightning-AI/pytorch-lightning, fabric/utilities/throughput.py",
        solved=True,
    ),
    Peak(
        names=("NVIDIA H100 80GB HBM3",),
        rates=_WITH_FP8,
        teraflops=989.4,
        tensor_cores=528,
        multiply_adds=512,
        clock_mhz=1830,
        gigabytes_per_second=3350,
        bus_bits=5120,
        memory_mhz=2619,
        source=f"{_STAS}; glennklockwood.com/garden/processors/h100",
    ),
    Peak(
        names=("NVIDIA H100 PCIe",),
        rates=_WITH_FP8,
        teraflops=756,
        tensor_cores=456,
        multiply_adds=512,
        clock_mhz=1620,
        gigabytes_per_second=2000,
        bus_bits=5120,
        memory_mhz=1593,
        source=f"{_STAS}; pytorch/torchtitan, tools/utils.py",
        solved=True,
    ),
    Peak(
        names=("NVIDIA H100 NVL",),
        rates=_WITH_FP8,
        teraflops=835,
        tensor_cores=528,
        multiply_adds=512,
        clock_mhz=1544,
        gigabytes_per_second=3938,
        bus_bits=6144,
        memory_mhz=2619,
        source="NVIDIA H100 datasheet (1,671 sparse)",
        solved=True,
    ),
    Peak(
        names=("NVIDIA H200",),
        rates=_WITH_FP8,
        teraflops=989.4,
        tensor_cores=528,
        multiply_adds=512,
        clock_mhz=1830,
        gigabytes_per_second=4800,
        bus_bits=6144,
        memory_mhz=3201,
        source=_STAS,
    ),
    Peak(
        names=("NVIDIA B200",),
        rates=_BLACKWELL,
        teraflops=2250,
        tensor_cores=592,
        multiply_adds=1024,
        clock_mhz=1856,
        gigabytes_per_second=8000,
        bus_bits=8192,
        memory_mhz=3996,
        source=f"{_STAS}; glennklockwood.com/garden/processors/B200",
        solved=True,
    ),
    Peak(
        names=("AMD Instinct MI300X",),
        rates={"fp16": 1, "bf16": 1, "fp8": 2, "int8": 2},
        teraflops=1307.4,
        tensor_cores=1216,
        multiply_adds=256,
        clock_mhz=2100,
        gigabytes_per_second=5300,
        bus_bits=8192,
        memory_mhz=2600,
        source=f"{_STAS} (AMD's page)",
    ),
)

_BY_NAME: Final = {name: peak for peak in PEAKS for name in peak.names}


def peak_of(gpu_model: str | None) -> Peak | None:
    """Return the peak of a GPU by the name its driver tells; None = not listed."""
    return _BY_NAME.get(gpu_model or "")
