"""Who holds a data directory: the running service says so in a small file there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

ADDRESS_FILE: Final = "service.json"
"""In the data directory while a service holds it: its URL and process id, for the command line."""


def announce(data_dir: Path, url: str) -> None:
    """Say that this process serves the directory at `url`."""
    (data_dir / ADDRESS_FILE).write_text(json.dumps({"url": url, "pid": os.getpid()}))


def withdraw(data_dir: Path) -> None:
    """Say that nobody serves the directory any more."""
    (data_dir / ADDRESS_FILE).unlink(missing_ok=True)


def running_url(data_dir: Path) -> str | None:
    """Return the URL of the service that holds a data directory; None when none does."""
    try:
        known = json.loads((data_dir / ADDRESS_FILE).read_text())
        os.kill(known["pid"], 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(known["url"])
