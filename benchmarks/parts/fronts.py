"""What stands between clients and a scripted engine: nothing, our proxy, our middleware, peers.

Each front is a context that gives the port to ask and the process whose CPU is its own; one that
is not installed raises `Absent` with the reason.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import uvicorn
from parts.streams import Script, engine

from collector.requests.middleware import InferometerMiddleware
from collector.requests.settings import MiddlewareSettings

SPAWN = multiprocessing.get_context("spawn")
NGINX = """
daemon off; worker_processes 1; pid {home}/pid; error_log {home}/errors;
events {{ worker_connections 8192; }}
http {{ access_log off; client_body_temp_path {home}/body; proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{
    proxy_pass http://127.0.0.1:{engine}; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_buffering off; proxy_read_timeout 600s; }} }} }}
"""
LITELLM = """
model_list:
  - model_name: m
    litellm_params: {{model: openai/m, api_base: "http://127.0.0.1:{engine}/v1", api_key: k}}
"""


_ENVIRONMENT = {
    "INFEROMETER_PROXY_SAMPLE_RATIO": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}
"""Every gap is wanted; and LiteLLM asks nobody for prices and nobody for a key."""


class Absent(Exception):  # noqa: N818 - it says what is not here
    """A peer that is not installed; the message says how to have it."""


@dataclass(frozen=True, slots=True)
class Front:
    """Something that answers at `port`; `pid` and its children are what it costs."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        own = psutil.Process(self.pid)
        times = [one.cpu_times() for one in (own, *own.children(recursive=True))]
        return sum(one.user + one.system for one in times)

    def memory_bytes(self) -> int:
        """Resident memory now."""
        own = psutil.Process(self.pid)
        return sum(one.memory_info().rss for one in (own, *own.children(recursive=True)))


@dataclass(frozen=True, slots=True)
class Scene:
    """What fronts are built on: what the engine says, where the engine listens, the agent's socket, a folder."""

    script: Script | None
    engine_port: int
    socket: Path
    home: Path
    litellm: str = "litellm"


@contextlib.contextmanager
def started(target: Callable[..., None], *arguments: object) -> Iterator[Front]:
    """Run a function that reports its port, in a process of its own."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=target, args=(*arguments, there), daemon=True)
    process.start()
    try:
        yield Front(here.recv(), process.pid)
    finally:
        process.kill()
        process.join()


def _application(script: Script, path: str | None, pipe: Connection) -> None:
    """Serve the same streams as an ASGI application, inside the middleware when there is a socket."""

    async def answer(_, receive, send) -> None:
        await receive()
        kind = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        async for data in script.spoken():
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body"})

    app = answer
    if path:
        app = InferometerMiddleware(answer, MiddlewareSettings(socket=Path(path), sample_ratio=1))
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    pipe.send(listening.getsockname()[1])
    config = uvicorn.Config(app, lifespan="off", access_log=False, log_level="error", loop="uvloop")
    uvicorn.Server(config).run([listening])


@contextlib.contextmanager
def direct(scene: Scene) -> Iterator[Front]:
    """The scripted engine itself."""
    with started(engine, scene.script) as front:
        yield front


@contextlib.contextmanager
def proxy(scene: Scene) -> Iterator[Front]:
    """`inferometer proxy` before the scripted engine, keeping the gaps of every request."""
    port = _free_port()
    command = [sys.executable, "-m", "inferometer", "proxy", "--listen", f"127.0.0.1:{port}"]
    command += ["--upstream", f"http://127.0.0.1:{scene.engine_port}", "--socket", str(scene.socket)]
    with _command(command, port) as front:
        yield front


@contextlib.contextmanager
def application(scene: Scene) -> Iterator[Front]:
    """The same streams as an application under uvicorn."""
    with started(_application, scene.script, None) as front:
        yield front


@contextlib.contextmanager
def middleware(scene: Scene) -> Iterator[Front]:
    """The application inside our middleware."""
    with started(_application, scene.script, str(scene.socket)) as front:
        yield front


@contextlib.contextmanager
def nginx(scene: Scene) -> Iterator[Front]:
    """Debian's nginx, unbuffered, one worker."""
    if not shutil.which("nginx"):
        raise Absent("apt install nginx-light")
    port, config = _free_port(), scene.home / "nginx.conf"
    config.write_text(NGINX.format(home=scene.home, port=port, engine=scene.engine_port))
    with _command(["nginx", "-c", str(config), "-e", f"{scene.home}/errors"], port) as front:
        yield front


@contextlib.contextmanager
def litellm(scene: Scene) -> Iterator[Front]:
    """LiteLLM's proxy, of an environment of its own."""
    if not shutil.which(scene.litellm):
        raise Absent("pip install 'litellm[proxy]' into an environment of its own, name it with --litellm")
    port, config = _free_port(), scene.home / "litellm.yaml"
    config.write_text(LITELLM.format(engine=scene.engine_port))
    command = [scene.litellm, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    with _command(command, port) as front:
        yield front


@contextlib.contextmanager
def _command(command: list[str], port: int, seconds: float = 120.0) -> Iterator[Front]:
    environment = {**os.environ, **_ENVIRONMENT}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet)
    try:
        deadline = time.monotonic() + seconds
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"{command[0]} does not listen on port {port}")
            time.sleep(0.1)
        yield Front(port, process.pid)
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
