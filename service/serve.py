"""Runs the service until it is told to stop: one process, one port."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import uvicorn

from service.app import create_app
from service.settings import Settings
from service.wiring import Service, StartError

ADDRESS_FILE: Final = "service.json"
"""In the data directory while a service holds it: its URL and process id, for the command line."""


def serve(settings: Settings, *, tell: Callable[[str], None], announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. `announce` gets `ready: URL` once requests are answered.

    Raises `StartError` naming what could not be opened and what to do.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same way out as Ctrl-C
    listener = _listener(settings)
    url = f"http://{settings.host}:{listener.getsockname()[1]}"
    service = Service.open(settings, url=settings.external_url or url, tell=tell)
    address = settings.data_dir / ADDRESS_FILE
    try:
        service.start()
        address.write_text(json.dumps({"url": url, "pid": os.getpid()}))
        if service.new_admin_token:
            tell(f"admin token, shown once: {service.new_admin_token}")
        config = uvicorn.Config(
            create_app(service), log_level="warning", access_log=False, timeout_graceful_shutdown=3
        )
        server = _Server(config, answering=lambda: announce(f"ready: {url}"), ending=service.end_streams)
        with suppress(KeyboardInterrupt):  # uvicorn raises the signal that ended it once more
            server.run(sockets=[listener])
    finally:
        address.unlink(missing_ok=True)
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


def running_url(data_dir: Path) -> str | None:
    """Return the URL of the service that holds a data directory; None when none does."""
    try:
        known = json.loads((data_dir / ADDRESS_FILE).read_text())
        os.kill(known["pid"], 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(known["url"])
