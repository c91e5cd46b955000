"""What timing a request costs and how true it is: our proxy and middleware beside nginx and LiteLLM.

A scripted engine writes chunks at planned instants; every chunk carries the instant it was written.
Three questions, all answered in the same run:

- cost: at many streams, the delay p99 of each chunk through a front less that without it, and the
  front's own CPU per chunk. Runs are interleaved; medians of the repeats. The load generator and
  the engine are processes of their own and are not counted.
- truth: at few streams, how far the TTFT and the gaps in our records are from the plan, beside how
  far the client's own are without a front.
- manners: how soon the engine is let go when a client leaves.

    python benchmarks/request_timing.py [--streams 500] [--rate 20] [--chunks 100] [--repeats 5]
        [--litellm /path/to/bin/litellm] [--out benchmarks/results/request_timing.json]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import psutil
from parts import fronts
from parts.fronts import SPAWN, Absent, Front, Scene
from parts.inbox import Inbox
from parts.streams import HEAD, LAST, Heard, Load, clients
from parts.telling import tell

Cost = dict[str, float | int | str]

FRONTS: dict[str, tuple[Callable[[Scene], AbstractContextManager[Front]], str]] = {
    "proxy": (fronts.proxy, "direct"),
    "nginx": (fronts.nginx, "direct"),
    "litellm": (fronts.litellm, "direct"),
    "middleware": (fronts.middleware, "application"),
}
"""Each front, and what it is compared with."""
SHARE = {"litellm": 10}
"""Fronts that cannot carry the load, and by what their number of streams is divided."""


TRUTH = Load(streams=50, chunks=60, rate=20.0)


class Clients:
    """The load generator, in a process of its own."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def run(self, load: Load, front: Front, prefix: str) -> list[Heard]:
        """Return what each stream heard; a chunk that does not come is an error."""
        heard = self._pool.submit(clients, load, front.port, prefix).result()
        arrived = sum(len(one.delays_ns) for one in heard)
        assert arrived == load.total, f"{prefix}: {arrived} of {load.total} chunks arrived"
        return heard


def p99_ms(values_ns: list[int]) -> float:
    return sorted(values_ns)[min(len(values_ns) - 1, int(0.99 * len(values_ns)))] / 1e6


def costs(scene: Scene, load: Load, people: Clients, repeats: int, names: list[str]) -> dict[str, Cost]:
    """Return what each front adds and costs, or why it is not there."""
    made = {"direct": fronts.direct, "application": fronts.application}
    made |= {name: FRONTS[name][0] for name in names}
    told: dict[str, Cost] = {}
    runs: dict[str, list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        ready: dict[str, Front] = {}
        for name, front in made.items():
            try:
                ready[name] = stack.enter_context(front(scene))
            except Absent as why:
                told[name] = {"not_installed": str(why)}
        for repeat in range(repeats):
            for name, front in ready.items():
                run = _run(_of(load, name), people, front, f"{name}-{repeat}")
                runs.setdefault(name, []).append(run)
                print(f"{name}: p99 {run[0]:.2f} ms, {run[1]:.1f} us a chunk", flush=True)
        memory = {name: front.memory_bytes() for name, front in ready.items()}
    for name in runs:
        more = {"streams": _of(load, name).streams, "rss_mib": round(memory[name] / 2**20)}
        told[name] = _cost(name, runs) | more
    return told


def _of(load: Load, name: str) -> Load:
    return replace(load, streams=max(1, load.streams // SHARE.get(name, 1)))


def _run(load: Load, people: Clients, front: Front, prefix: str) -> tuple[float, float]:
    """Return p99 of the delay in ms, and the front's CPU in microseconds a chunk."""
    before = front.cpu_seconds()
    heard = people.run(load, front, prefix)
    spent = front.cpu_seconds() - before
    # Of the time in which all streams run: what it takes to begin is in the CPU, not in the delay.
    since, until = max(one.sent_ns[0] for one in heard), min(one.sent_ns[-1] for one in heard)
    delays = [
        delay
        for one in heard
        for sent, delay in zip(one.sent_ns, one.delays_ns, strict=True)
        if since <= sent <= until or since > until  # never: a front that lets them through in turn
    ]
    return p99_ms(delays), spent * 1e6 / load.total


def _cost(name: str, runs: dict[str, list[tuple[float, float]]]) -> Cost:
    delay, cpu = (median(run[column] for run in runs[name]) for column in (0, 1))
    told: Cost = {"p99_ms": round(delay, 3), "cpu_us_per_chunk": round(cpu, 1)}
    if name not in FRONTS:
        return told
    pairs = list(zip(runs[name], runs[FRONTS[name][1]], strict=True))
    told["added_p99_ms"] = round(median(through[0] - bare[0] for through, bare in pairs), 3)
    if name == "middleware":  # its process serves as well: what it adds is the difference
        told["cpu_us_per_chunk"] = round(median(through[1] - bare[1] for through, bare in pairs), 1)
    return told


def truth(scene: Scene, people: Clients, inbox: Inbox, repeats: int) -> dict[str, Cost]:
    """Return how far our records are from the plan, beside a client without a front."""
    told: dict[str, Cost] = {}
    for name, bare in (("proxy", fronts.direct), ("middleware", fronts.application)):
        with FRONTS[name][0](scene) as front, bare(scene) as plain:
            runs = [_truth(TRUTH, people, inbox, (plain, front), f"truth-{name}-{n}") for n in range(repeats)]
        told[name] = {key: round(median(run[key] for run in runs), 3) for key in runs[0]}
    return told


def _truth(
    load: Load, people: Clients, inbox: Inbox, pair: tuple[Front, Front], prefix: str
) -> dict[str, float]:
    alone = people.run(load, pair[0], f"alone-{prefix}")
    heard = people.run(load, pair[1], prefix)
    inbox.wait_for((one.name for one in heard), gaps=True)
    first_ns, gap_ns = round(load.first_after * 1e9), round(1e9 / load.rate)
    own_first = [abs(one.first_ns - one.asked_ns - first_ns) for one in alone]
    own_gaps = [abs(gap - gap_ns) for one in alone for gap in _gaps(one.arrived_ns)]
    kept = [(one, inbox.records[one.name], inbox.gaps[one.name].gaps_us) for one in heard]
    our_first = [abs(record.ttft_us * 1000 - first_ns) for _, record, _ in kept]
    our_gaps = [abs(gap * 1000 - gap_ns) for _, _, gaps in kept for gap in gaps]
    written = [
        abs(ours * 1000 - sent)
        for one, _, gaps in kept
        for ours, sent in zip(gaps, _gaps(one.sent_ns), strict=True)
    ]
    return {
        "ttft_off_plan_p99_ms": p99_ms(our_first),
        "ttft_off_plan_p99_ms_direct": p99_ms(own_first),
        "ttft_beyond_direct_ms": p99_ms(our_first) - p99_ms(own_first),
        "gaps_off_plan_p99_ms": p99_ms(our_gaps),
        "gaps_off_plan_p99_ms_direct": p99_ms(own_gaps),
        "gaps_beyond_direct_ms": p99_ms(our_gaps) - p99_ms(own_gaps),
        "gaps_off_as_written_p99_ms": p99_ms(written),
    }


def _gaps(instants_ns: list[int]) -> list[int]:
    return [after - before for before, after in pairwise(instants_ns)]


async def _let_go(scene: Scene, front: Callable[[Scene], AbstractContextManager[Front]], times: int) -> float:
    """Return the longest time in ms from a client that leaves to an engine that is let go."""
    gone: asyncio.Queue[float] = asyncio.Queue()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"%x\r\n%s\r\n" % (len(LAST[:-14]), LAST[:-14]))
        while await reader.read(65536):
            pass
        gone.put_nowait(time.monotonic())
        writer.close()

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    slowest = 0.0
    port = server.sockets[0].getsockname()[1]
    with front(replace(scene, engine_port=port)) as it:
        for _ in range(times):
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
            await reader.readuntil(b"chunk")
            writer.transport.abort()
            left = time.monotonic()
            slowest = max(slowest, await asyncio.wait_for(gone.get(), 30) - left)
    server.close()
    return round(slowest * 1000, 1)


def main() -> None:
    """Run and tell."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    for name, default in (("streams", 500), ("rate", 20), ("chunks", 100), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--litellm", default="litellm", help="LiteLLM's command, of its own environment")
    parser.add_argument("--without", nargs="*", default=[], choices=list(FRONTS))
    parser.add_argument("--out", type=Path)
    wish = parser.parse_args()
    load = Load(wish.streams, wish.chunks, float(wish.rate))
    busy = psutil.getloadavg()[0]
    with (
        ProcessPoolExecutor(1, mp_context=SPAWN) as pool,
        tempfile.TemporaryDirectory() as folder,
        Inbox(Path(folder) / "r.sock") as inbox,
    ):
        people = Clients(pool)
        told: dict[str, object] = {
            "load": f"{load.streams} streams x {wish.rate}/s x {load.chunks} chunks, median of {wish.repeats}",
            "load_average_before": round(busy, 1),
        }
        for part, kept in (("cost", load), ("truth", TRUTH)):
            home = Path(folder)
            with fronts.direct(Scene(kept, 0, inbox.path, home, wish.litellm)) as behind:
                scene = Scene(kept, behind.port, inbox.path, home, wish.litellm)
                if part == "cost":
                    names = [name for name in FRONTS if name not in wish.without]
                    told[part] = costs(scene, load, people, wish.repeats, names)
                else:
                    told[part] = truth(scene, people, inbox, wish.repeats)
        told["engine_let_go_ms_slowest_of_20"] = asyncio.run(_let_go(scene, fronts.proxy, 20))
        told["records"] = len(inbox.records)
        told["load_average_after"] = round(psutil.getloadavg()[0], 1)
    tell(told, wish.out)


if __name__ == "__main__":
    main()
