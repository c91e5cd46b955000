"""Child processes of the demo: started in order, watched, and stopped by process id."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from inferometer.saying import Failure

_KEPT_LINES = 40
_WATCHED_LINES = 10_000
"""Lines that wait for somebody to watch; later ones are shown and kept, not watched."""


@dataclass(slots=True)
class Child:
    """One running `inferometer` subcommand; its lines are kept and may be watched."""

    name: str
    process: subprocess.Popen[str]
    lines: queue.Queue[str | None] = field(default_factory=lambda: queue.Queue(_WATCHED_LINES))
    last: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))

    def wait_for(self, beginning: str, timeout_seconds: float) -> str:
        """Return the rest of the first line that begins so. Raises `Failure` with its last words."""
        deadline = time.monotonic() + timeout_seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self.lines.get(timeout=left)
            except queue.Empty:
                break
            if line is None:
                raise Failure(f"{self.name} ended with code {self.process.wait()}:\n{self.words()}")
            if line.startswith(beginning):
                return line.removeprefix(beginning).strip()
        raise Failure(f"{self.name} did not say {beginning!r} within {timeout_seconds:g} s:\n{self.words()}")

    def words(self) -> str:
        """Return its last lines."""
        return "\n".join(self.last) or "(it said nothing)"


class Children:
    """All children of one run; `stop` ends them in reverse order, gently first."""

    def __init__(self) -> None:
        self._children: list[Child] = []
        self._stopping = False

    def start(
        self, name: str, arguments: Sequence[str], *, show: Callable[[str], None] | None = None
    ) -> Child:
        """Start `inferometer ARGUMENTS`; with `show` its lines are passed on as they come."""
        process = subprocess.Popen(
            [sys.executable, "-m", "inferometer", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        child = Child(name, process)
        self._children.append(child)
        threading.Thread(target=_drain, args=(child, show), daemon=True).start()
        return child

    def watch(self, gone: Callable[[Child], None]) -> None:
        """Call `gone`, from a thread, once for every child so far that ends before `stop`."""
        for child in self._children:
            threading.Thread(target=self._await_end, args=(child, gone), daemon=True).start()

    def _await_end(self, child: Child, gone: Callable[[Child], None]) -> None:
        child.process.wait()
        if not self._stopping:
            gone(child)

    def stop(self, grace_seconds: float = 15) -> None:
        """Terminate every child, last started first; kill what does not go in time."""
        self._stopping = True
        for child in reversed(self._children):
            child.process.terminate()
        deadline = time.monotonic() + grace_seconds
        for child in reversed(self._children):
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()


def _drain(child: Child, show: Callable[[str], None] | None) -> None:
    assert child.process.stdout is not None
    for line in child.process.stdout:
        child.last.append(line.rstrip())
        with suppress(queue.Full):
            child.lines.put_nowait(line.rstrip())
        if show is not None:
            show(line.rstrip())
    with suppress(queue.Full):
        child.lines.put_nowait(None)
