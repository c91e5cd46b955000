"""The middleware where engines have it: added to a FastAPI application under uvicorn, as vLLM adds it."""

import asyncio
import contextlib
import json
import socket

import aiohttp
import pytest
import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse

from collector.requests.middleware import InferometerMiddleware
from collector.requests.socket import RecordReceiver
from telemetry.requests import Finish, RequestRecord, Status


def _application(speak):
    app = FastAPI()
    app.add_middleware(InferometerMiddleware)

    @app.post("/v1/chat/completions")
    async def answer(request: Request):
        wish = await request.json()

        async def events():
            for text in ("a", "b"):
                yield speak.delta(text)
                await asyncio.sleep(0.02)
            if wish.get("endless"):
                await asyncio.sleep(30)
            usage = speak.usage() if wish.get("stream_options") else b""
            yield speak.delta(finish="stop") + usage + speak.event("[DONE]")

        return StreamingResponse(events(), media_type="text/event-stream")

    return app


@pytest.fixture
def served(tmp_path, speak, monkeypatch):
    """Serve the application: `async with served() as (url, record)`; `await record()` gives the next one."""
    path = tmp_path / "s.sock"
    monkeypatch.setenv("INFEROMETER_MIDDLEWARE_SOCKET", str(path))

    @contextlib.asynccontextmanager
    async def opened():
        receiver = RecordReceiver.open(path)

        def received():
            for _ in range(50):
                for one in receiver.receive(timeout_seconds=0.1):
                    if isinstance(one, RequestRecord):
                        return one
            return None

        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(_application(speak), log_level="error"))
        serving = asyncio.create_task(server.serve([listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", lambda: asyncio.to_thread(received)
        finally:
            server.should_exit = True
            await serving
            receiver.close()

    return opened


def test_a_stream_passes_without_the_usage_nobody_asked_for(served, speak):
    async def run():
        async with served() as (url, record), aiohttp.ClientSession() as client:
            wish = {"model": "m", "stream": True}
            async with client.post(f"{url}/v1/chat/completions", json=wish) as answer:
                return await answer.read(), await record()

    body, record = asyncio.run(run())
    assert body == speak.delta("a") + speak.delta("b") + speak.delta(finish="stop") + speak.event("[DONE]")
    assert (record.status, record.finish, record.output_tokens) == (Status.OK, Finish.STOP, 3)
    assert record.chunks == 2 and record.gap_max_us >= 20_000


def test_a_client_that_leaves_ends_as_an_abort_at_once(served):
    async def run():
        async with served() as (url, record), aiohttp.ClientSession() as client:
            wish = json.dumps({"model": "m", "stream": True, "endless": True})
            async with client.post(f"{url}/v1/chat/completions", data=wish) as answer:
                await answer.content.readany()
                answer.close()
            return await record()

    record = asyncio.run(run())
    assert (record.status, record.finish, record.tokens_estimated) == (Status.ABORTED, Finish.ABORT, True)
    assert record.e2e_us < 1_000_000
