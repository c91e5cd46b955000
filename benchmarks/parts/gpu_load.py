"""A load of known size on GPU 0, in a process of its own, and what it achieved: for `make gpu-check`.

    python benchmarks/parts/gpu_load.py gemm SECONDS     # large matrix products: FLOPs are known
    python benchmarks/parts/gpu_load.py decode SECONDS   # steps of a small model's weights: tokens

Prints one JSON object. Needs PyTorch with CUDA, which a host that serves models has; exit 3 = not here.
"""

from __future__ import annotations

import json
import sys
import time

SIZE = 8_192
HIDDEN, LAYERS = 4_096, 32
NO_TORCH = 3
SETTLE_SECONDS = 2.0


def gemm(torch, seconds: float) -> dict[str, float]:
    """BF16 products of 8192-square matrices: 2 n^3 FLOPs each."""
    left, right = (torch.randn(SIZE, SIZE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    products, took = run(torch, seconds, lambda: torch.matmul(left, right))
    return {"flops": 2.0 * SIZE**3 * products, "seconds": took}


def decode(torch, seconds: float) -> dict[str, float]:
    """One token a step: every weight of 32 square layers read once, as in decoding one sequence."""
    weights = [
        torch.randn(HIDDEN, HIDDEN, device="cuda", dtype=torch.bfloat16) / HIDDEN for _ in range(LAYERS)
    ]
    state = torch.randn(1, HIDDEN, device="cuda", dtype=torch.bfloat16)

    def step() -> None:
        token = state
        for weight in weights:
            token = token @ weight

    tokens, took = run(torch, seconds, step)
    return {"tokens": tokens, "seconds": took}


def run(torch, seconds: float, step) -> tuple[int, float]:
    """Warm up, say so, and repeat a step for so long; return the repeats and the seconds they took."""
    repeated(torch, SETTLE_SECONDS, step)
    print(json.dumps({"settled": True}), flush=True)
    return repeated(torch, seconds, step)


def repeated(torch, seconds: float, step) -> tuple[int, float]:
    """Repeat a step for so long, waiting for the GPU after every twenty."""
    torch.cuda.synchronize()
    begun, steps = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        for _ in range(20):
            step()
        torch.cuda.synchronize()
        steps += 20
    return steps, time.monotonic() - begun


def main() -> int:
    """Run the load that is named."""
    try:
        import torch  # noqa: PLC0415 - only a host that serves models has it
    except ImportError:
        return NO_TORCH
    if not torch.cuda.is_available():
        return NO_TORCH
    kind, seconds = sys.argv[1], float(sys.argv[2])
    about = torch.cuda.get_device_properties(0)
    done = {"gemm": gemm, "decode": decode}[kind](torch, seconds)
    print(json.dumps({**done, "sms": about.multi_processor_count, "capability": [about.major, about.minor]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
