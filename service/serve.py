"""Runs the service until it is told to stop: one process, one port."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import uvicorn

from service import holder
from service.app import create_app
from service.settings import Settings
from service.wiring import Service, StartError

MOST_CONNECTIONS: Final = 1_000
"""Connections and requests at one time; beyond it the answer is 503 at once."""
EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what an operator may choose
"""Where this host reaches a service that listens on every address."""


def serve(settings: Settings, *, tell: Callable[[str], None], announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. `announce` gets `ready: URL` once requests are answered.

    Raises `StartError` naming what could not be opened and what to do.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same way out as Ctrl-C
    with _listener(settings) as listener:
        url = _url(settings.host, listener.getsockname()[1])
        service = Service.open(settings, url=settings.external_url or url, tell=tell)
        try:
            service.start()
            holder.announce(settings.data_dir, url)
            if service.new_admin_token:
                tell(f"admin token, shown once: {service.new_admin_token}")
            _run(service, listener, lambda: announce(f"ready: {url}"))
        finally:
            holder.withdraw(settings.data_dir)
            service.close()


def _run(service: Service, listener: socket.socket, answering: Callable[[], None]) -> None:
    config = uvicorn.Config(
        create_app(service),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
        limit_concurrency=MOST_CONNECTIONS,
    )
    server = _Server(config, answering=answering, ending=service.end_streams)
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal that ended it once more
        server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """Announces itself once it accepts connections; ends what never ends by itself before it waits."""

    def __init__(
        self, config: uvicorn.Config, *, answering: Callable[[], None], ending: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._answering, self._ending = answering, ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._answering()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending()
        await super().shutdown(sockets)


def _listener(settings: Settings) -> socket.socket:
    """Take the port before anything is opened: a port that is taken is the quickest to say."""
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise StartError(
            f"listen on {settings.host}:{settings.port}: {error.strerror}; "
            "choose another --port (0 = any free one)"
        ) from None
    return listener


def _url(host: str, port: int) -> str:
    reached = EVERYWHERE.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
