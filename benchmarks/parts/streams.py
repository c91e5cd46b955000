"""A scripted engine that emits tokens at planned instants, and clients that say when each arrived.

Every chunk carries the instant it was written, of the clock that all processes of a machine share;
a client takes the difference when it reads it. Engine and clients are processes of their own, on
uvloop, so that what they spend is nobody else's.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
WISH = json.dumps(
    {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x" * 2000}]}
).encode()
SENT = re.compile(rb'"content": ?"(\d{9,})"')
_DELTA = {"id": "chatcmpl-" + "0" * 24, "object": "chat.completion.chunk", "created": 0, "model": "m"}


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return b"data: " + json.dumps({**_DELTA, "choices": [choice]}, separators=(",", ":")).encode() + b"\n\n"


_CHUNK = _event({"content": "%d"})
LAST = _event({}, "stop") + b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Load:
    """How many streams at once, each with how many chunks, at how many a second."""

    streams: int
    chunks: int
    rate: float
    first_after: float = 0.2
    """Seconds from the request to its first token."""
    ramp: float = 1.0
    """Seconds over which the streams begin."""

    @property
    def total(self) -> int:
        """Chunks of all streams."""
        return self.streams * self.chunks

    async def spoken(self) -> AsyncIterator[bytes]:
        """Yield each event of one answer at its planned instant."""
        begun = time.monotonic() + self.first_after
        for number in range(self.chunks):
            await asyncio.sleep(max(0.0, begun + number / self.rate - time.monotonic()))
            yield _CHUNK % time.monotonic_ns()
        yield LAST


@dataclass(frozen=True, slots=True)
class Replay:
    """A recorded answer: (seconds after the request, bytes) of each write, told at its own pace."""

    writes: tuple[tuple[float, bytes], ...]
    log: Path
    """Where the instants of the writes are put once the answer has ended, as a list of microseconds."""

    async def spoken(self) -> AsyncIterator[bytes]:
        """Yield each write at its recorded instant."""
        begun, written = time.monotonic(), []
        for after, data in self.writes:
            await asyncio.sleep(max(0.0, begun + after - time.monotonic()))
            written.append(time.monotonic_ns() // 1000)
            yield data
        self.log.write_text(json.dumps(written))


Script = Load | Replay
"""What an engine says."""


def engine(script: Script, pipe: Connection) -> None:
    """Serve streams over plain sockets until the process is ended."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        writer.write(HEAD)
        async for data in script.spoken():
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        writer.write(b"0\r\n\r\n")
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(play, "127.0.0.1", 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(run())


@dataclass(slots=True)
class Heard:
    """What one client got: when it asked, when its first chunk came, and each chunk's way here."""

    name: str
    asked_ns: int
    first_ns: int
    delays_ns: list[int]
    sent_ns: list[int]

    @property
    def arrived_ns(self) -> list[int]:
        """When each chunk was read."""
        return [sent + delay for sent, delay in zip(self.sent_ns, self.delays_ns, strict=True)]


class _Client(asyncio.Protocol):
    def __init__(self, name: str, done: asyncio.Future[Heard]) -> None:
        self._done = done
        self._heard = Heard(name, 0, 0, [], [])
        self._tail = b""

    def connection_made(self, transport) -> None:
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer k\r\nX-Request-Id: {self._heard.name}\r\nConnection: close\r\n"
            f"Content-Length: {len(WISH)}\r\n\r\n"
        )
        self._heard.asked_ns = time.monotonic_ns()
        transport.write(head.encode() + WISH)

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        text = self._tail + data
        sent = [int(at) for at in SENT.findall(text)]
        self._tail = text[text.rfind(b"\n\n") + 2 :][-4096:] if b"\n\n" in text else text
        if sent and not self._heard.first_ns:
            self._heard.first_ns = now_ns
        self._heard.sent_ns += sent
        self._heard.delays_ns += [now_ns - at for at in sent]

    def connection_lost(self, _: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(self._heard)


def clients(load: Load, port: int, prefix: str) -> list[Heard]:
    """Run all streams, their begins spread over the ramp; return what each heard."""

    async def one(number: int) -> Heard:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(number / load.streams * load.ramp)
        done: asyncio.Future[Heard] = loop.create_future()
        await loop.create_connection(lambda: _Client(f"{prefix}-{number}", done), "127.0.0.1", port)
        return await done

    async def run() -> list[Heard]:
        return await asyncio.gather(*map(one, range(load.streams)))

    return uvloop.run(run())
