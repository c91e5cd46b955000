"""GPUs lost, reset and reloaded by seeded schedules: how many readings said something untrue.

    python benchmarks/gpu_schedules.py [--seeds 1000] [--out FILE]

Each schedule is 40 ticks over 1-4 fake GPUs through the unmodified nvidia-ml-py; after every tick
each reading is compared with the truth (tests/fake_nvml/schedules.py). Exit 1 when one was wrong.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from parts.telling import tell

FAKE = Path(__file__).resolve().parents[1] / "tests" / "fake_nvml"


def load(name: str):
    spec = importlib.util.spec_from_file_location(f"fake_nvml_{name}", FAKE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--out", type=Path, help="also write the figures here, as JSON")
    chosen = parser.parse_args()
    fake, schedules = load("driver"), load("schedules")
    counts, wrong, begun = Counter(), {}, time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        library = fake.build(Path(name))
        for seed in range(chosen.seeds):
            driver = fake.Driver.create(Path(name) / "state", gpus=1 + seed % 4)
            fake.load(library, driver)
            outcome = schedules.Schedule(driver, seed).run()
            counts.update({k: v for k, v in vars(outcome).items() if isinstance(v, int)})
            if outcome.wrong:
                wrong[seed] = outcome.wrong
    figures = {"schedules": chosen.seeds, **counts, "wrong_readings": sum(map(len, wrong.values()))}
    figures |= {"wrong": wrong, "seconds": round(time.monotonic() - begun, 1)}
    tell(figures, chosen.out)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
