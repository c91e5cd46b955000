"""Which process serves a port, from /proc: what joins a process on a GPU with an engine's address.

A process on the GPU belongs to an engine when it, or one of its ancestors, holds the socket that
listens on the engine's port: vLLM's and SGLang's workers are children of their server. Nothing
weaker counts. The traps:
- the driver names processes by the host's ids. In a container with ids of its own they mean other
  processes, or none: then nothing is said (`host_ids`).
- two containers can both listen on port 8000. The port is looked up in the network namespace of
  the process on the GPU, and that namespace must be ours (for an address of this host) or own the
  engine's address (a pod's or a container's).
- sockets of another user's processes cannot be seen without privilege: then nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

HOST_PID_NAMESPACE: Final = "pid:[4026531836]"
"""The kernel's fixed number of the first process namespace."""

_MAX_ANCESTORS: Final = 64
_MAX_SOCKETS: Final = 4_096
_LISTENING: Final = "0A"
_RANK: Final = re.compile(r"\bDP_?(\d{1,4})\b|_DP(\d{1,4})(?:\b|_)")
_LOCAL: Final = re.compile(r"\|-- ([\d.]+)\n\s+/32 host LOCAL")


@dataclass(frozen=True, slots=True)
class Server:
    """The process that serves a port, and the data-parallel rank its child on the GPU says it is.

    `rank` None = no process between the two has a rank in its title.
    """

    pid: int
    rank: int | None


class Processes:
    """The processes of a host. Every look is at the files as they are now; nothing is kept."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc

    def host_ids(self) -> bool:
        """Tell whether process ids here are the host's own, which the driver speaks of."""
        return self._link("self/ns/pid") == HOST_PID_NAMESPACE

    def server_above(self, pid: int, address: str | None, port: int) -> Server | None:
        """Return the process at or above `pid` that listens on a port; None = none that can be seen.

        `address` None = the port is of this host's own network; else the engine's IP address.
        """
        if not self._same_network(pid, address):
            return None
        sockets = self._listening(pid, port)
        rank: int | None = None
        for each in self._ancestors(pid):
            rank = self._rank(each) if rank is None else rank
            if sockets & self._sockets(each):
                return Server(each, rank)
        return None

    def _ancestors(self, pid: int) -> Iterator[int]:
        """Yield a process, its parent and so on; never the first process, which serves everybody."""
        for _ in range(_MAX_ANCESTORS):
            if pid <= 1:
                return
            yield pid
            # `pid (name) state parent ...`: a name may hold blanks and brackets.
            fields = self._text(f"{pid}/stat").rpartition(")")[2].split()
            pid = int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else 0

    def _same_network(self, pid: int, address: str | None) -> bool:
        if address is None:
            theirs = self._link(f"{pid}/ns/net")
            return theirs != "" and theirs == self._link("self/ns/net")
        return address in _LOCAL.findall(self._text(f"{pid}/net/fib_trie"))

    def _listening(self, pid: int, port: int) -> frozenset[str]:
        """Return the socket numbers that listen on a port in a process's network."""
        found = set()
        for table in ("tcp", "tcp6"):
            for line in self._text(f"{pid}/net/{table}").splitlines()[1:]:
                fields = line.split()
                if len(fields) < 10 or fields[3] != _LISTENING:
                    continue
                if int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(fields[9])
        return frozenset(found)

    def _sockets(self, pid: int) -> frozenset[str]:
        found: set[str] = set()
        try:
            for entry in (self._proc / str(pid) / "fd").iterdir():
                link = self._link(f"{pid}/fd/{entry.name}")
                if link.startswith("socket:["):
                    found.add(link[len("socket:[") : -1])
                if len(found) >= _MAX_SOCKETS:
                    break
        except OSError:
            return frozenset()
        return frozenset(found)

    def _rank(self, pid: int) -> int | None:
        """Return the rank in a process's title, as vLLM and SGLang set it (`VLLM::EngineCore_DP1`)."""
        title = self._text(f"{pid}/cmdline").partition("\0")[0]
        found = _RANK.search(title) if "::" in title else None
        return int(found[1] or found[2]) if found else None

    def _text(self, name: str) -> str:
        try:
            return (self._proc / name).read_text(errors="replace")
        except OSError:
            return ""

    def _link(self, name: str) -> str:
        try:
            return str((self._proc / name).readlink())
        except OSError:
            return ""


def literal_address(host: str) -> str | None:
    """Return a host that is an IPv4 address other than this host's own; None for names and loopback."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return None if address.is_loopback or address.version != 4 else str(address)
