"""The fleet behind real HTTP: one port for each replica, vLLM's pages, OpenAI's API.

A replica answers `/metrics`, `/health`, `/v1/models`, `/version`, `/v1/chat/completions` and
`/v1/completions`, streamed at the simulated instants; hanging up aborts the request and frees
its KV. Beside them `/simulated/fleet`, `/simulated/gpu` and `/simulated/fault` are the door for
agents, tests and the demo. Every answer carries `X-Simulated`.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from aiohttp import web
from pydantic import ValidationError

from simulator.exposition import CONTENT_TYPE, exposition
from simulator.faults import Fault
from simulator.jobs import Job
from simulator.live import LiveFleet, LiveReplica
from simulator.openai_api import Answer, Ask, error_body
from simulator.readings import ENGINE_VERSION
from simulator.reports import FAULTS, FLEET, GPUS, FaultOrder, GpuReport
from simulator.specs import FleetSpec
from telemetry.requests import Status

MARK: Final = {"X-Simulated": "inferometer-simulator"}
MAX_BODY_BYTES: Final = 8 * 1024 * 1024
_JSON: Final = "application/json"


class ReplicaPages:
    """The HTTP pages of one replica."""

    def __init__(self, replica: LiveReplica, fleet: LiveFleet) -> None:
        self._replica = replica
        self._fleet = fleet
        self._engine = replica.running.engine
        self._model = self._engine.spec.model

    def app(self) -> web.Application:
        """Return the application that serves them."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.append(_mark)
        app.add_routes(
            [
                web.get("/health", self.health),
                web.get("/metrics", self.metrics),
                web.get("/version", self.version),
                web.get("/v1/models", self.models),
                web.post("/v1/chat/completions", self.chat),
                web.post("/v1/completions", self.plain),
                web.get("/simulated/fleet", self.fleet),
                web.get("/simulated/gpu", self.gpus),
                web.get("/simulated/fault", self.faults),
                web.post("/simulated/fault", self.order_fault),
            ]
        )
        return app

    # What an engine says of itself.

    async def health(self, request: web.Request) -> web.Response:
        """200 while the process lives, wedged or not; 503 while it restarts."""
        del request
        return web.Response(status=200 if self._engine.up else 503)

    async def metrics(self, request: web.Request) -> web.Response:
        """The counters as Prometheus text."""
        del request
        if not self._engine.up:
            return web.Response(status=503)
        self._replica.go_on()
        return web.Response(text=exposition(self._engine), headers={"Content-Type": CONTENT_TYPE})

    async def version(self, request: web.Request) -> web.Response:
        """The engine's version, marked as simulated."""
        del request
        return web.json_response({"version": ENGINE_VERSION})

    async def models(self, request: web.Request) -> web.Response:
        """The one model served."""
        del request
        card = {
            "id": self._model,
            "object": "model",
            "created": self._engine.epoch_us // 1_000_000,
            "owned_by": MARK["X-Simulated"],
            "root": self._model,
            "max_model_len": self._engine.spec.max_model_tokens,
        }
        return web.json_response({"object": "list", "data": [card]})

    # Completions.

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Answer a chat."""
        return await self._complete(request, chat=True)

    async def plain(self, request: web.Request) -> web.StreamResponse:
        """Answer a plain completion."""
        return await self._complete(request, chat=False)

    async def _complete(self, request: web.Request, *, chat: bool) -> web.StreamResponse:
        request_id = request.headers.get("X-Request-Id", "")[:200] or uuid.uuid4().hex
        try:
            ask = Ask.model_validate_json(await request.read())
            arrival = ask.arrival(request_id, request.headers, self._engine.spec.max_model_tokens)
        except ValueError as error:
            return _error(400, _located(error), "BadRequestError")
        if ask.model != self._model:
            return _error(404, f"The model `{ask.model[:200]}` does not exist.", "NotFoundError")
        name = f"{'chatcmpl' if chat else 'cmpl'}-{request_id}"
        answer = Answer(answer_id=name, model=self._model, created_s=int(time.time()), chat=chat)
        job, event = self._replica.submit(arrival)
        try:
            if ask.stream and job.end is None:
                return await self._stream(request, ask, answer, job=job, event=event)
            while job.end is None:
                await event.wait()
                event.clear()
        finally:
            self._replica.leave(job)
        if job.end.status is Status.OK:
            return web.Response(body=answer.whole(job), content_type=_JSON)
        return _error(job.end.http_status or 500, f"refused: {job.end.error_class}", "EngineError")

    async def _stream(
        self, request: web.Request, ask: Ask, answer: Answer, *, job: Job, event: asyncio.Event
    ) -> web.StreamResponse:
        """Send each token when its step ends; a request the engine lost is cut, as by a crash."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        sent = 0
        while job.end is None or sent < job.output:
            await event.wait()
            event.clear()
            if job.output > sent:
                opening = b"" if sent else answer.opening()
                await response.write(opening + answer.tokens(sent, job.output))
                sent = job.output
        if job.end.status is not Status.OK:
            if request.transport is not None:
                request.transport.abort()
            return response
        usage = ask.stream_options is not None and ask.stream_options.include_usage
        await response.write(answer.closing(job, usage=usage))
        await response.write_eof()
        return response

    # The simulator's own door.

    async def fleet(self, request: web.Request) -> web.Response:
        """What the fleet is made of, and where."""
        del request
        return web.Response(body=FLEET.dump_json(self._fleet.fleet), content_type=_JSON)

    async def gpus(self, request: web.Request) -> web.Response:
        """The integrals of this replica's GPUs."""
        del request
        running = self._replica.running
        totals = self._engine.meter.totals(self._fleet.clock.now_us())
        reports = tuple(
            GpuReport(place=gpu, model=running.pool.gpu, totals=totals, lost=running.lost(gpu))
            for gpu in running.place.gpus
        )
        return web.Response(body=GPUS.dump_json(reports), content_type=_JSON)

    async def faults(self, request: web.Request) -> web.Response:
        """The faults that hold or are to come."""
        del request
        return web.Response(body=FAULTS.dump_json(self._fleet.faults), content_type=_JSON)

    async def order_fault(self, request: web.Request) -> web.Response:
        """Order a fault for any replica of the fleet."""
        try:
            fault = FaultOrder.model_validate_json(await request.read()).fault(self._fleet.clock.now_us())
            self._fleet.order(fault)
        except ValueError as error:
            return _error(400, _located(error), "FaultError")
        return web.Response(status=202, body=FAULTS.dump_json((fault,)), content_type=_JSON)


async def _mark(request: web.Request, response: web.StreamResponse) -> None:
    del request
    response.headers.update(MARK)


def _error(status: int, message: str, kind: str) -> web.Response:
    return web.Response(status=status, body=error_body(message, kind, status), content_type=_JSON)


def _located(error: ValueError) -> str:
    """Return what is wrong and where, without repeating what was sent."""
    if not isinstance(error, ValidationError):
        return str(error)
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in faults[:5])


@asynccontextmanager
async def serving(
    fleet: FleetSpec,
    *,
    address: str = "127.0.0.1",
    host: str | None = None,
    ports: Sequence[int] = (),
) -> AsyncIterator[LiveFleet]:
    """Serve a fleet while the context is open; yield it with the ports it listens on.

    `host` is the name facts call it by (this machine's by default), `ports` one for each
    replica (free ones by default). Raises `SpecError` for a wrong number of ports, `OSError` for
    one that is taken.
    """
    count = sum(1 for _ in fleet.replicas())
    sockets: list[socket.socket] = []
    runners: list[web.AppRunner] = []
    live: LiveFleet | None = None
    try:
        sockets.extend(_bound(address, port) for port in (ports or [0] * count))
        taken = [listener.getsockname()[1] for listener in sockets]
        live = LiveFleet(fleet.listening(host or socket.gethostname(), taken))
        for replica, listener in zip(live.replicas, sockets, strict=True):
            # Cancelled with its client, or a wedged request would never learn that it hung up.
            runner = web.AppRunner(
                ReplicaPages(replica, live).app(),
                access_log=None,
                handler_cancellation=True,
                shutdown_timeout=1.0,
            )
            runners.append(runner)
            await runner.setup()
            await web.SockSite(runner, listener).start()
        yield live
    finally:
        for runner in runners:
            await runner.cleanup()
        if live is not None:
            live.stop()
        for listener in sockets:
            listener.close()


def _bound(address: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError:
        listener.close()
        raise
    return listener


def run(
    fleet: FleetSpec,
    *,
    announce: Callable[[FleetSpec], None],
    address: str = "127.0.0.1",
    host: str | None = None,
    ports: Sequence[int] = (),
    faults: Sequence[Fault] = (),
) -> None:
    """Serve a fleet until SIGINT or SIGTERM.

    `announce` is called once, with the fleet and its ports, when every replica answers; the
    times of `faults` count from then. Raises what `serving` does, and `SimulatorError` for a
    fault that cannot be.
    """

    async def until_told() -> None:
        told = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        async with serving(fleet, address=address, host=host, ports=ports) as live:
            now_us = live.clock.now_us()
            for fault in faults:
                live.order(replace(fault, start_us=now_us + fault.start_us, end_us=now_us + fault.end_us))
            announce(live.fleet)
            await told.wait()

    asyncio.run(until_told())
