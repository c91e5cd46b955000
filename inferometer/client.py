"""Talks to a running service for the command line: HTTP when a service holds the directory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx

from inferometer.saying import Failure

DEFAULT_URL = "http://127.0.0.1:8460"
TIMEOUT_SECONDS = 30.0
_RUNNING = "is `inferometer up` running there? (--server, INFEROMETER_URL)"
_ALLOWED = "give an admin token with --token or INFEROMETER_TOKEN"


class Client:
    """One conversation with a service. `url` and `token` fall back to INFEROMETER_URL and _TOKEN."""

    def __init__(self, url: str | None, token: str | None) -> None:
        self.url = (url or os.environ.get("INFEROMETER_URL") or DEFAULT_URL).rstrip("/")
        secret = token or os.environ.get("INFEROMETER_TOKEN") or ""
        if not secret.isascii() or not secret.isprintable():
            raise Failure("token: holds what no token has; copy it again (--token, INFEROMETER_TOKEN)")
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        try:
            self._http = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_SECONDS)
        except (httpx.InvalidURL, ValueError) as error:
            raise Failure(f"--server {self.url!r}: {error}; write http://host:port") from None

    def get(self, path: str, **params: str | int | None) -> Any:
        """Return the JSON answer of a GET. Raises `Failure` with the cause and a hint."""
        return self._call("GET", path, params={k: v for k, v in params.items() if v is not None})

    def send(self, method: str, path: str, body: object | None = None) -> Any:
        """Return the JSON answer of a POST, PUT or DELETE; None for an empty one."""
        return self._call(method, path, json=body)

    def put_text(self, path: str, text: str, **params: str) -> Any:
        """Return the JSON answer of a PUT of a YAML text. Raises `Failure` with the cause and a hint."""
        headers = {"content-type": "application/yaml"}
        return self._call("PUT", path, content=text.encode(), params=params, headers=headers)

    def lines(self, path: str, text: str, **params: str) -> Iterator[Any]:
        """Yield the JSON lines that answer a POST of a YAML text, however long each takes."""
        headers = {"content-type": "application/yaml", "accept-encoding": "identity"}
        try:
            with self._http.stream(
                "POST", path, content=text.encode(), params=params, headers=headers, timeout=None
            ) as answer:
                if not answer.is_success:
                    answer.read()
                    raise self._refused("POST", path, answer)
                yield from map(json.loads, answer.iter_lines())
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Failure(f"POST {self.url}{path}: {error or type(error).__name__}; {_RUNNING}") from None
        except ValueError:
            raise Failure(f"POST {self.url}{path}: it does not answer with JSON; {_RUNNING}") from None

    def _call(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = self._http.request(method, path, **more)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Failure(f"{method} {self.url}{path}: {error or type(error).__name__}; {_RUNNING}") from None
        if not answer.is_success:
            raise self._refused(method, path, answer)
        try:
            return answer.json() if answer.content else None
        except ValueError:
            raise Failure(f"{method} {self.url}{path}: it does not answer with JSON; {_RUNNING}") from None

    def _refused(self, method: str, path: str, answer: httpx.Response) -> Failure:
        """Return what a service that refused said, and what to do where it could not know."""
        asked, told = f"{method} {self.url}{path}", _detail(answer)
        if answer.status_code in {401, 403}:
            return Failure(f"{asked}: {told}; {_ALLOWED}")
        hint = f"; {_RUNNING}" if told == answer.reason_phrase else ""
        return Failure(f"{asked}: {answer.status_code}: {told}{hint}")


def _detail(answer: httpx.Response) -> str:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase
    if isinstance(detail, list):  # FastAPI: one entry for each field that is wrong
        return "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in detail)
    return str(detail)


def quoted(name: str) -> str:
    """Return a name as one part of a path, whatever it holds."""
    return quote(name, safe="")
