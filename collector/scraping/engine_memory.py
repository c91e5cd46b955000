"""Fills what an engine's page does not tell of its memory: from its start-up log, else its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from collector.efficiency.ratios import ModelShape
from collector.growing_file import GrowingFile, Position
from collector.scraping.start_up import StartUp, StartUpLog

_FROM_END_BYTES: Final = 64 * 1024 * 1024
"""How far back a log is read at first; an older start is not known."""
_MAX_PORTIONS: Final = 8


class EngineMemory:
    """The memory of one engine's replicas. Not thread-safe; its source's thread owns it."""

    def __init__(self, log: Path | None, models: Mapping[str, ModelShape]) -> None:
        self._path = log
        self._models = models
        self._log = StartUpLog()
        self._file: GrowingFile | None = None
        self._position = Position("", 0)

    def read(self) -> str | None:
        """Read new lines of the log, a few megabytes at most; returns why it cannot, None = it can."""
        if self._path is None:
            return None
        try:
            if self._file is None:
                self._file = GrowingFile(self._path)
                self._position = self._file.end(before=_FROM_END_BYTES)
            for _ in range(_MAX_PORTIONS):
                lines, self._position = self._file.read(self._position)
                self._log.feed(lines)
                if not lines:
                    break
        except OSError as error:
            return f"read {self._path}: {error.strerror}; name the engine's log, readable by the agent"
        return None

    def start_up(self, rank: int) -> StartUp:
        """Return what the log tells of a data-parallel rank's last start."""
        return self._log.told().get(rank, StartUp())

    def columns(self, rank: int, model: str | None, told: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns of a replica that its page leaves open and that are known here."""
        start = self.start_up(rank)
        shape = self._models.get(model or "")
        block_tokens = told.get("kv_block_tokens")
        blocks = told.get("kv_blocks") or start.kv_blocks
        if blocks is None and start.kv_tokens is not None and block_tokens:
            blocks = start.kv_tokens // block_tokens
        tokens = blocks * block_tokens if blocks is not None and block_tokens else start.kv_tokens
        pool = start.kv_pool_bytes
        if pool is None and shape and shape.kv_bytes_per_token and tokens is not None:
            pool = tokens * shape.kv_bytes_per_token
        weights = start.weights_bytes or (shape.weights_bytes if shape else None)
        known = {"kv_blocks": blocks, "weights_bytes": weights, "kv_pool_bytes": pool}
        return {name: value for name, value in known.items() if value is not None and name not in told}

    def close(self) -> None:
        """Let go of the log."""
        if self._file is not None:
            self._file.close()
