"""The proxy as the process it is: started, stopped, used by OpenAI's client, its agent killed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time

import openai
import pytest

from collector.requests.socket import RecordReceiver
from telemetry.requests import Finish, RequestRecord, Status

RUN = """
import json, sys
from collector.requests.proxy import run
from collector.requests.settings import load_settings
sys.exit(run(load_settings(json.loads(sys.argv[1]), {})))
"""
AGENT = """
import pathlib, sys
from collector.requests.socket import RecordReceiver
receiver = RecordReceiver.open(pathlib.Path(sys.argv[1]))
print("listening", flush=True)
while True:
    for record in receiver.receive():
        print(record.request_id, flush=True)
"""


@contextlib.contextmanager
def _process(code, argument):
    process = subprocess.Popen([sys.executable, "-c", code, argument], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def proxied(script, tmp_path):
    """Run the proxy as a process before `script`: `async with proxied() as (process, url, path)`."""

    @contextlib.asynccontextmanager
    async def opened(**flags):
        server = await asyncio.start_server(script.play, "127.0.0.1", 0)
        path = tmp_path / "r.sock"
        upstream = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = {"upstream": [upstream], "socket": str(path), "listen": "127.0.0.1:0", **flags}
        text = str(settings).replace("'", '"')
        async with server:
            with _process(RUN, text) as process:
                ready = await asyncio.to_thread(process.stdout.readline)
                assert ready.startswith("ready: http://127.0.0.1:")
                yield process, ready.split()[1], path

    return opened


def _chat(url, name):
    """Stream one answer through OpenAI's own client; return its text and whether usage was seen."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
        chunks = client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "hello"}],
            stream=True,
            extra_headers={"X-Request-Id": name},
        )
        pieces = [
            (chunk.choices[0].delta.content or "" if chunk.choices else None, chunk.usage) for chunk in chunks
        ]
    return "".join(text for text, _ in pieces if text), any(usage for _, usage in pieces)


def _collect(receiver, names, seconds=8.0):
    deadline, found = time.monotonic() + seconds, {}
    while not names <= found.keys() and time.monotonic() < deadline:
        records = receiver.receive(timeout_seconds=0.1)
        found |= {record.request_id: record for record in records if isinstance(record, RequestRecord)}
    return found


def test_openais_client_streams_through_and_sees_no_usage_it_did_not_ask_for(proxied, script, speak):
    async def run():
        answer = speak.stream("Hel", "lo").replace(b"data: [DONE]", speak.usage() + b"data: [DONE]")
        script.steps = [speak.HEAD, speak.chunk(answer), speak.END]
        async with proxied() as (_, url, path):
            receiver = RecordReceiver.open(path)
            said = await asyncio.to_thread(_chat, url, "one")
            found = await asyncio.to_thread(_collect, receiver, {"one"})
            receiver.close()
            return said, found["one"]

    said, record = asyncio.run(run())
    assert said == ("Hello", False)
    assert (record.status, record.finish, record.model) == (Status.OK, Finish.STOP, "m")
    assert (record.prompt_tokens, record.output_tokens, record.chunks) == (7, 3, 2)


def test_an_agent_killed_disturbs_no_stream_and_gets_the_rest_when_back(proxied, script, speak):
    async def run():
        script.steps = [
            speak.HEAD,
            speak.chunk(speak.delta("a")),
            0.1,
            speak.chunk(speak.stream("b")),
            speak.END,
        ]
        async with proxied() as (_, url, path):
            with _process(AGENT, str(path)) as agent:
                await asyncio.to_thread(agent.stdout.readline)
                first = await asyncio.to_thread(_chat, url, "first")
                heard = await asyncio.to_thread(agent.stdout.readline)
                second = asyncio.create_task(asyncio.to_thread(_chat, url, "second"))
                await asyncio.sleep(0.05)
                os.kill(agent.pid, signal.SIGKILL)
                said = [first, await second, await asyncio.to_thread(_chat, url, "third")]
            receiver = RecordReceiver.open(path)
            found = await asyncio.to_thread(_collect, receiver, {"second", "third"})
            receiver.close()
            return said, heard.strip(), found.keys()

    said, heard, found = asyncio.run(run())
    assert said == [("ab", False)] * 3
    assert heard == "first"
    assert found == {"second", "third"}


def test_sigterm_lets_a_stream_end_and_exits_0(proxied, script, speak):
    async def run():
        script.steps = [
            speak.HEAD,
            speak.chunk(speak.delta("a")),
            0.4,
            speak.chunk(speak.stream("b")),
            speak.END,
        ]
        async with proxied() as (process, url, path):
            receiver = RecordReceiver.open(path)
            chat = asyncio.create_task(asyncio.to_thread(_chat, url, "last"))
            await script.spoke.wait()
            process.send_signal(signal.SIGTERM)
            said = await chat
            found = await asyncio.to_thread(_collect, receiver, {"last"})
            receiver.close()
            return said, found["last"].status, await asyncio.to_thread(process.wait, 10)

    assert asyncio.run(run()) == (("ab", False), Status.OK, 0)


def test_a_port_that_is_taken_is_said_without_a_traceback(proxied, tmp_path):
    async def run():
        async with proxied() as (_, url, path):
            text = f'{{"upstream": ["http://h:1"], "socket": "{path}", "listen": "{url.removeprefix("http://")}"}}'
            command = [sys.executable, "-c", RUN, text]
            return await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, timeout=30, check=False
            )

    ended = asyncio.run(run())
    assert ended.returncode == 1
    assert ended.stderr.startswith("proxy: cannot listen on 127.0.0.1:") and "Traceback" not in ended.stderr
