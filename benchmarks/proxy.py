"""What the proxy costs and adds: CPU per chunk, latency per chunk beside going direct, memory.

One scripted upstream, one proxy, one client, each a process of its own on this machine. Every
chunk carries the instant it was written; the client takes the difference when it reads it. Runs
are interleaved (direct, through the proxy) and medians of the repeats are printed. On a busy or
small machine the three processes take each other's time: compare the ratio, not the figures.

    python benchmarks/proxy.py [--streams 64] [--rate 20] [--chunks 100] [--repeats 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import re
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import psutil

from collector.requests.proxy import serve
from collector.requests.settings import load_settings
from collector.requests.socket import RecordReceiver
from telemetry.requests import RequestRecord, Status

SPAWN = multiprocessing.get_context("spawn")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
WISH = json.dumps(
    {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x" * 2000}]}
).encode()
SENT = re.compile(rb'"at":(\d+)')


@dataclass(frozen=True, slots=True)
class Load:
    """How many streams at once, each with how many chunks, at how many a second."""

    streams: int
    chunks: int
    rate: float


def _event(at_ns: int) -> bytes:
    delta = {"id": "chatcmpl-" + "0" * 24, "object": "chat.completion.chunk", "created": 0, "model": "m"}
    choice = {"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}
    data = (
        b"data: "
        + json.dumps({**delta, "choices": [choice], "at": at_ns}, separators=(",", ":")).encode()
        + b"\n\n"
    )
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def upstream(load: Load, pipe: Connection) -> None:
    """Serve streams of chunks at an even pace until the process is ended."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        writer.write(HEAD)
        begun = time.monotonic()
        for number in range(load.chunks):
            await asyncio.sleep(max(0.0, begun + number / load.rate - time.monotonic()))
            writer.write(_event(time.monotonic_ns()))
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(play, "127.0.0.1", 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def proxy(port: int, path: str, pipe: Connection) -> None:
    """Run the proxy until the process is ended."""

    async def run() -> None:
        wish = {"upstream": (f"http://127.0.0.1:{port}",), "socket": path, "listen": "127.0.0.1:0"}
        async with serve(load_settings(wish, {})) as serving:
            pipe.send(int(serving.url.rpartition(":")[2]))
            await asyncio.Event().wait()

    asyncio.run(run())


async def _stream(port: int) -> list[int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    writer.write(head + f"Content-Length: {len(WISH)}\r\n\r\n".encode() + WISH)
    delays: list[int] = []
    text = b""
    while b"[DONE]" not in text:
        read = await reader.read(65536)
        if not read:
            raise ConnectionError("the stream broke off")
        now = time.monotonic_ns()
        text = text[-200:].rpartition(b"\n\n")[2] + read
        delays += [now - int(at) for at in SENT.findall(text)]
    writer.close()
    return delays


async def _load(load: Load, port: int) -> list[int]:
    async def one(number: int) -> list[int]:
        await asyncio.sleep(number / load.streams / load.rate)  # spread over one pace
        return await _stream(port)

    return [delay for delays in await asyncio.gather(*map(one, range(load.streams))) for delay in delays]


def _quantile_ms(delays: list[int], share: float) -> float:
    return sorted(delays)[min(len(delays) - 1, int(share * len(delays)))] / 1e6


def _started(target, *arguments) -> tuple[multiprocessing.Process, int]:
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=target, args=(*arguments, there), daemon=True)
    process.start()
    return process, here.recv()


def _cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def _run(load: Load, port: int, pid: int) -> tuple[float, float, float]:
    """Return p50 and p99 of the delay in ms, and CPU microseconds a chunk of process `pid`."""
    before = _cpu_seconds(pid)
    delays = asyncio.run(_load(load, port))
    assert len(delays) == load.streams * load.chunks, f"{len(delays)} chunks arrived"
    spent_us = (_cpu_seconds(pid) - before) * 1e6 / len(delays)
    return _quantile_ms(delays, 0.5), _quantile_ms(delays, 0.99), spent_us


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    for name, default in (("streams", 64), ("rate", 20), ("chunks", 100), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    wish = parser.parse_args()
    load = Load(wish.streams, wish.chunks, wish.rate)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.sock"
        receiver = RecordReceiver.open(path)
        server, port = _started(upstream, load)
        front, front_port = _started(proxy, port, str(path))
        print(
            f"{load.streams} streams x {load.rate}/s x {load.chunks} chunks, {psutil.cpu_count()} CPUs, "
            f"load {psutil.getloadavg()[0]:.1f}, median of {wish.repeats}"
        )
        direct, through, records = [], [], []
        for _ in range(wish.repeats):
            direct.append(_run(load, port, server.pid))
            through.append(_run(load, front_port, front.pid))
            while found := receiver.receive(timeout_seconds=0.2):
                records += [
                    one for one in found if isinstance(one, RequestRecord) and one.status is Status.OK
                ]
        memory = psutil.Process(front.pid).memory_info().rss / 2**20
        for process in (front, server):
            process.kill()
            process.join()
        receiver.close()
    for column, name in enumerate(("p50", "p99")):
        plain, proxied = (median(run[column] for run in runs) for runs in (direct, through))
        print(
            f"delay {name}: direct {plain:.3f} ms, proxied {proxied:.3f} ms, "
            f"added {proxied - plain:.3f} ms, ratio {proxied / plain:.2f}"
        )
    print(
        f"proxy CPU: {median(run[2] for run in through):.1f} us a chunk "
        f"(the scripted upstream spends {median(run[2] for run in direct):.1f} us to write one)"
    )
    print(f"proxy memory: {memory:.0f} MiB; records: {len(records)} of {wish.streams * wish.repeats}")


if __name__ == "__main__":
    main()
