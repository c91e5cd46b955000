"""How a benchmark tells its figures: one JSON object on one line, with the machine's facts."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping


def tell(figures: Mapping[str, object]) -> None:
    """Print the figures and where they were measured."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(json.dumps({**figures, "machine": machine}))
