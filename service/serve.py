"""Runs the service until it is told to stop: one process, one port."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from service import holder
from service.app import create_app
from service.settings import Settings
from service.wiring import Service, StartError


def serve(settings: Settings, *, tell: Callable[[str], None], announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. `announce` gets `ready: URL` once requests are answered.

    Raises `StartError` naming what could not be opened and what to do.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same way out as Ctrl-C
    listener = _listener(settings)
    url = f"http://{settings.host}:{listener.getsockname()[1]}"
    service = Service.open(settings, url=settings.external_url or url, tell=tell)
    try:
        service.start()
        holder.announce(settings.data_dir, url)
        if service.new_admin_token:
            tell(f"admin token, shown once: {service.new_admin_token}")
        config = uvicorn.Config(
            create_app(service), log_level="warning", access_log=False, timeout_graceful_shutdown=3
        )
        server = _Server(config, answering=lambda: announce(f"ready: {url}"), ending=service.end_streams)
        with suppress(KeyboardInterrupt):  # uvicorn raises the signal that ended it once more
            server.run(sockets=[listener])
    finally:
        holder.withdraw(settings.data_dir)
        service.close()


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
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        raise StartError(
            f"listen on {settings.host}:{settings.port}: {error.strerror}; "
            "choose another --port (0 = any free one)"
        ) from None
    return listener
