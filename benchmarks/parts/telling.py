"""How a benchmark tells its figures: one JSON object on one line, with the machine's facts."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path


def tell(figures: Mapping[str, object], out: Path | None = None) -> None:
    """Print the figures and where they were measured, and keep them in a file."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    told = {**figures, "machine": machine}
    print(json.dumps(told))
    if out is not None:
        out.write_text(json.dumps(told, indent=4) + "\n")
