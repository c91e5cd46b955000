"""A scripted inference server over real sockets, the real proxy before it, the real socket behind."""

import asyncio
import contextlib
import json
import socket
import struct
import time
from dataclasses import dataclass, field

import aiohttp
import pytest
from yarl import URL

from collector.requests.proxy import Serving, serve
from collector.requests.settings import load_settings
from collector.requests.socket import RecordReceiver
from telemetry.requests import RequestRecord

CUT = object()
"""A step of a script: reset the connection."""
UNTIL_GONE = object()
"""A step of a script: wait until the client's side closes."""


@dataclass
class Heard:
    """A request as the scripted server got it."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Script:
    """What the server plays: bytes, seconds to wait, CUT or UNTIL_GONE; the same for each request."""

    steps: list = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    sent_at: list[float] = field(default_factory=list)
    gone_at: list[float] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    spoke: asyncio.Event = field(default_factory=asyncio.Event)

    async def play(self, reader, writer):
        try:
            while True:
                self.heard.append(await _hear(reader))
                self.asked.set()
                for step in self.steps:
                    await self._step(step, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _step(self, step, reader, writer):
        if isinstance(step, bytes):
            self.sent_at.append(time.monotonic())
            writer.write(step)
            await writer.drain()
            self.spoke.set()
        elif step is CUT:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
            raise ConnectionAbortedError
        elif step is UNTIL_GONE:
            await reader.read()
            self.gone_at.append(time.monotonic())
            raise ConnectionAbortedError
        else:
            await asyncio.sleep(step)


async def _hear(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *rest = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in rest)}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Heard(line, headers, body)


@dataclass
class Reply:
    """What a client got. `cut` when the answer broke off."""

    status: int
    headers: dict[str, str]
    body: bytes
    reads: list[bytes]
    cut: bool


@dataclass
class Lab:
    """A proxy between a client and a script."""

    url: str
    script: Script
    receiver: RecordReceiver
    client: aiohttp.ClientSession
    serving: Serving
    seen: list = field(default_factory=list)

    async def ask(self, body=None, *, path="/v1/chat/completions", method="POST", headers=None):
        wish = {"model": "m", "stream": True} if body is None else body
        data = wish if isinstance(wish, bytes) or method == "GET" else json.dumps(wish).encode()
        sent = {"Content-Type": "application/json", **(headers or {})}
        async with self.client.request(
            method, URL(self.url + path, encoded=True), data=data, headers=sent
        ) as answer:
            reads, cut = [], False
            try:
                while data := await answer.content.readany():
                    reads.append(data)
            except aiohttp.ClientPayloadError:
                cut = True
            return Reply(
                answer.status, {k.lower(): v for k, v in answer.headers.items()}, b"".join(reads), reads, cut
            )

    async def told(self, count=1, *, kind=RequestRecord, seconds=5.0):
        """The first `count` records of a kind, in order; fewer when they do not come."""
        deadline = time.monotonic() + seconds
        while True:
            self.seen += self.receiver.receive(timeout_seconds=0)
            found = [one for one in self.seen if isinstance(one, kind)]
            if len(found) >= count or time.monotonic() > deadline:
                return found[:count]
            await asyncio.sleep(0.005)

    async def record(self):
        (record,) = await self.told(1)
        return record


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def lab(tmp_path, script):
    """Open a lab: `async with lab(setting=...) as it`; `also` names upstreams beside `script`'s."""

    @contextlib.asynccontextmanager
    async def opened(*, upstream=None, also=(), **flags):
        server = await asyncio.start_server(script.play, "127.0.0.1", 0)
        here = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        path = tmp_path / "r.sock"
        wish = {
            "upstream": (upstream or here, *also),
            "socket": path,
            "listen": "127.0.0.1:0",
            "drain_seconds": 0.2,
            **flags,
        }
        settings = load_settings(wish, {})
        receiver = RecordReceiver.open(path)
        try:
            async with (
                server,
                serve(settings) as serving,
                aiohttp.ClientSession(auto_decompress=False) as client,
            ):
                yield Lab(serving.url, script, receiver, client, serving)
        finally:
            receiver.close()

    return opened


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


class Speak:
    """Bytes a server would say."""

    CUT, UNTIL_GONE = CUT, UNTIL_GONE
    HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    END = b"0\r\n\r\n"
    chunk = staticmethod(_chunk)

    @staticmethod
    def event(data) -> bytes:
        text = data if isinstance(data, str) else json.dumps(data)
        return b"data: " + text.encode() + b"\n\n"

    @classmethod
    def delta(cls, content=None, *, index=0, finish=None, **more) -> bytes:
        delta = more if content is None else {"content": content, **more}
        return cls.event(
            {"model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}
        )

    @classmethod
    def usage(cls, prompt=7, output=3, cached=2) -> bytes:
        details = {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        return cls.event({"model": "m", "choices": [], "usage": details})

    @classmethod
    def stream(cls, *texts: str) -> bytes:
        first = cls.delta("", role="assistant")
        return b"".join(
            [first, *(cls.delta(text) for text in texts), cls.delta(finish="stop"), cls.event("[DONE]")]
        )

    @staticmethod
    def whole(body: bytes, status="200 OK", kind="application/json", more="") -> bytes:
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        return head.encode() + body


@pytest.fixture
def speak():
    return Speak


@pytest.fixture
def recorded(shared):
    """The folder of recorded streams."""
    return shared / "fixtures" / "engines"


@pytest.fixture
def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
