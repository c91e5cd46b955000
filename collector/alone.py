"""Tells whether another agent measures this host: two would count every GPU and engine twice.

A name in the kernel's abstract socket space, held for the life of the process and freed by its
end however it ends. It is seen within one network namespace; the service sees the rest, since
agents there bear their token's name.
"""

from __future__ import annotations

import logging
import socket
from contextlib import suppress

log = logging.getLogger(__name__)


class Alone:
    """The name of one host's agent. One thread calls `check`; any may read `disturbed`."""

    def __init__(self, host: str) -> None:
        self.disturbed = False
        """Whether another agent held the name at the last check."""
        self._host = host
        self._mark: socket.socket | None = None

    def check(self) -> None:
        """Take the name, or say that another agent has it; once it is taken nothing more happens."""
        if self._mark is not None:
            return
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            mark.bind(f"\0inferometer-agent-{self._host}"[:100])
        except OSError:
            mark.close()
            if not self.disturbed:
                log.warning("another agent measures %s: what both read counts twice; stop one", self._host)
            self.disturbed = True
            return
        self._mark, self.disturbed = mark, False

    def close(self) -> None:
        """Give the name up."""
        if self._mark is not None:
            with suppress(OSError):
                self._mark.close()
            self._mark = None
