"""A scripted inference server over real sockets, the real proxy before it, the real socket behind;
and the same script as an ASGI application inside the real middleware."""

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

from collector.requests.middleware import InferometerMiddleware
from collector.requests.proxy import Serving, serve
from collector.requests.settings import load_middleware_settings, load_settings
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


WISH = json.dumps({"model": "m", "stream": True}).encode()


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

    async def leave(self, after_bytes, **wish):
        """Ask, and go away once so many bytes have come; return them."""
        got = b""
        async with self.client.post(self.url + "/v1/chat/completions", **wish) as answer:
            while len(got) < after_bytes:
                got += await answer.content.readany()
            answer.close()
        return got


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


@dataclass
class Talk:
    """An ASGI server's end: what the client says, and what came back."""

    says: list
    sent: list = field(default_factory=list)

    async def receive(self):
        return self.says.pop(0) if self.says else await asyncio.Event().wait()

    async def send(self, message):
        self.sent.append(message)

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.sent)


def _scope(**changes):
    plain = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "server": ("127.0.0.1", 8000)}
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(WISH)).encode())]
    return {**plain, "client": ("127.0.0.1", 9), "headers": headers, **changes}


def _answering(parts, ending="end", *, kind=b"text/event-stream", status=200, more=()):
    """An application that reads the request and answers with these parts; then it ends as told."""

    async def app(scope, receive, send):
        app.scope, app.heard = scope, await receive()
        headers = [(b"content-type", kind), *more]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if ending == "cut":
            raise EngineDiedError
        if ending == "gone":
            assert (await receive())["type"] == "http.disconnect"
            return
        await send({"type": "http.response.body"})

    return app


class EngineDiedError(Exception):
    """What the scripted application dies of."""


@dataclass
class Engine:
    """A scripted application inside the middleware."""

    middleware: InferometerMiddleware
    receiver: RecordReceiver

    scope = staticmethod(_scope)

    async def ask(self, says=None, **scope):
        talk = Talk([{"type": "http.request", "body": WISH}] if says is None else says)
        with contextlib.suppress(EngineDiedError):
            await self.middleware(_scope(**scope), talk.receive, talk.send)
        return talk

    async def told(self, count=1, *, kind=RequestRecord, seconds=5.0):
        deadline, found = time.monotonic() + seconds, []
        while len(found) < count and time.monotonic() < deadline:
            found += [one for one in self.receiver.receive(timeout_seconds=0) if isinstance(one, kind)]
            await asyncio.sleep(0.002)
        return found

    async def record(self):
        (record,) = await self.told(1)
        return record


@pytest.fixture
def engine(tmp_path):
    """Open an engine: `with engine(app, setting=...) as it`."""

    @contextlib.contextmanager
    def opened(app, **settings):
        path = tmp_path / "m.sock"
        told = {f"INFEROMETER_MIDDLEWARE_{key.upper()}": str(value) for key, value in settings.items()}
        receiver = RecordReceiver.open(path)
        wish = load_middleware_settings({"INFEROMETER_MIDDLEWARE_SOCKET": str(path), **told})
        it = Engine(InferometerMiddleware(app, wish), receiver)
        try:
            yield it
        finally:
            if it.middleware._sender is not None:
                it.middleware._sender.close()
            receiver.close()

    return opened


@pytest.fixture
def answering():
    """Make a scripted application: `answering(parts, ending="end" | "cut" | "gone", status=...)`."""
    return _answering


@pytest.fixture
def play(lab, script, engine):
    """Send parts of a stream through a route: `play(route, parts, ending)` gives body and record.

    It ends with `end` as the parts do, with `cut` by an engine that dies, with `gone` by a client
    that leaves after the last part.
    """

    async def proxied(parts, ending, **flags):
        last = {"end": Speak.END, "cut": CUT, "gone": UNTIL_GONE}[ending]
        # Before a cut, time to read: what a reset overtakes is lost.
        script.steps = [Speak.HEAD, *map(_chunk, parts), *([0.005] if ending == "cut" else []), last]
        async with lab(**flags) as it:
            if ending == "gone":
                wish = {"data": WISH, "headers": {"Content-Type": "application/json"}}
                return await it.leave(len(b"".join(parts)), **wish), await it.record()
            return (await it.ask(WISH)).body, await it.record()

    async def inside(parts, ending, **flags):
        leaving = [{"type": "http.disconnect"}] if ending == "gone" else []
        with engine(_answering(parts, ending), **flags) as it:
            talk = await it.ask([{"type": "http.request", "body": WISH}, *leaving])
            return talk.body, await it.record()

    def played(route, parts, ending="end", **flags):
        return asyncio.run({"proxy": proxied, "middleware": inside}[route](parts, ending, **flags))

    return played


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
