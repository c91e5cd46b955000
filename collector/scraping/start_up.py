"""What an engine's start-up log says of its memory: the only place where weights and graphs are told.

vLLM (v0 and v1):   Model loading took 15.27 GiB memory and 2.3 seconds
                    Available KV cache memory: 12.15 GiB      GPU KV cache size: 240,000 tokens
                    model weights take 14.24GiB; non_torch_memory takes 0.08GiB; ... KV Cache is 23.98GiB
SGLang:             Load weight end. type=..., avail mem=36.93 GB, mem usage=57.06 GB.
                    KV Cache is allocated. #tokens: 314304, K size: 14.66 GB, V size: 14.66 GB

Both write GiB, whatever the unit says. Each worker of a replica tells its own share, so they are
added up; where only some of the workers that the log names speak, the others are taken as equal.
A later start replaces an earlier one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

GIB: Final = 1024**3
MAX_WORKERS: Final = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class StartUp:
    """The memory of one replica, all its GPUs together, in bytes; None = not told."""

    weights_bytes: int | None = None
    kv_pool_bytes: int | None = None
    activations_bytes: int | None = None
    graphs_bytes: int | None = None
    kv_tokens: int | None = None
    kv_blocks: int | None = None


_BYTES: Final = ("weights_bytes", "kv_pool_bytes", "activations_bytes", "graphs_bytes")
_SIZE: Final = r"(\d{1,9}(?:\.\d{1,9})?) ?Gi?B"
_AMOUNTS: Final = tuple(
    (column, added, re.compile(pattern))
    for column, added, pattern in (
        ("weights_bytes", False, rf"(?:Model loading|Loading model weights) took {_SIZE}"),
        ("weights_bytes", False, rf"model weights take {_SIZE}"),
        ("kv_pool_bytes", False, rf"Available KV cache memory: {_SIZE}"),
        ("kv_pool_bytes", False, rf"reserved for KV Cache is {_SIZE}"),
        ("activations_bytes", False, rf"activation peak memory takes {_SIZE}"),
        ("graphs_bytes", False, rf"Graph capturing finished in [\d.]+ secs?, took {_SIZE}"),
        # A draft model's come after, from the same worker.
        ("weights_bytes", True, rf"Load weight end\..*?mem usage={_SIZE}"),
        ("kv_pool_bytes", True, rf"KV Cache is allocated\..*?K size: {_SIZE}, V size: {_SIZE}"),
        ("kv_pool_bytes", True, rf"KV Cache is allocated\..*?KV size: {_SIZE}"),
        ("graphs_bytes", True, rf"Capture cuda graph end\..*?mem usage={_SIZE}"),
    )
)
"""Column, whether another line of the same worker adds to it, and where its sizes stand."""

_COUNTS: Final = (
    ("kv_tokens", re.compile(r"GPU KV cache size: (\d[\d,]{0,20}) tokens")),
    ("kv_tokens", re.compile(r"KV Cache is allocated\..*?#tokens: (\d[\d,]{0,20})")),
    ("kv_blocks", re.compile(r"# (?:GPU|cuda) blocks: (\d[\d,]{0,20})")),
)
_BEGIN: Final = re.compile(r"Initializing an? (?:V\d )?LLM engine|\bserver_args=")
_GROUPS: Final = re.compile(r"\b(?:tensor|pipeline)_parallel_size=(\d{1,4})\b")
"""vLLM's; of SGLang's workers every one speaks."""
_WORKER: Final = re.compile(
    r"\(((?:Vllm)?Worker[^)]*?|EngineCore[^)]*?),? *pid=\d+\)|\[[\d:, -]+ ((?:(?:DP|TP|PP|EP)\d+ ?)+)\]"
)
_RANK: Final = re.compile(r"DP(\d{1,4})")


@dataclass(slots=True)
class _Replica:
    """What one data-parallel rank's workers told: sizes by worker, counts."""

    sizes: dict[str, dict[str, float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


class StartUpLog:
    """Reads an engine's log line by line. Not thread-safe. Lines that say nothing cost one search."""

    def __init__(self) -> None:
        self._replicas: dict[int, _Replica] = {}
        self._workers = 1

    def feed(self, lines: Iterable[str]) -> None:
        """Take lines in the order they were written."""
        for line in lines:
            if "took" in line or "KV" in line or "mem usage" in line or "=" in line or "blocks" in line:
                self._line(line[:8_192])

    def told(self) -> Mapping[int, StartUp]:
        """Return what is known of each data-parallel rank; empty = nothing yet."""
        return {rank: self._start_up(replica) for rank, replica in self._replicas.items()}

    def _line(self, line: str) -> None:
        if _BEGIN.search(line):
            self._replicas.clear()
            self._workers = 1
            for size in _GROUPS.findall(line):
                self._workers = min(MAX_WORKERS, self._workers * int(size))
            return
        found = _WORKER.search(line)
        worker = (found[1] or found[2]).strip() if found else ""
        for column, added, pattern in _AMOUNTS:
            sizes = pattern.search(line)
            if sizes:
                self._size(worker, column, sum(map(float, sizes.groups())), added=added)
        for column, pattern in _COUNTS:
            count = pattern.search(line)
            if count:
                self._replica(worker).counts[column] = int(count[1].replace(",", ""))

    def _size(self, worker: str, column: str, gib: float, *, added: bool) -> None:
        sizes = self._replica(worker).sizes
        if worker not in sizes and len(sizes) >= MAX_WORKERS:
            return
        told = sizes.setdefault(worker, {})
        told[column] = gib + (told.get(column, 0.0) if added else 0.0)

    def _replica(self, worker: str) -> _Replica:
        rank = _RANK.search(worker)
        number = int(rank[1]) if rank else 0
        return self._replicas.setdefault(number, _Replica())

    def _start_up(self, replica: _Replica) -> StartUp:
        known: dict[str, int] = dict(replica.counts)
        for column in _BYTES:
            shares = [sizes[column] for sizes in replica.sizes.values() if column in sizes]
            if shares:
                # Some releases let only the first worker speak.
                workers = max(len(shares), self._workers)
                known[column] = round(sum(shares) / len(shares) * workers * GIB)
        return StartUp(**known)
