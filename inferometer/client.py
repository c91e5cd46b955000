"""Talks to a running service for the command line: HTTP when a service holds the directory."""

from __future__ import annotations

import os
from typing import Any

import httpx

from inferometer.saying import Failure

DEFAULT_URL = "http://127.0.0.1:8460"


class Client:
    """One conversation with a service. `url` and `token` fall back to INFEROMETER_URL and _TOKEN."""

    def __init__(self, url: str | None, token: str | None) -> None:
        self.url = (url or os.environ.get("INFEROMETER_URL") or DEFAULT_URL).rstrip("/")
        secret = token or os.environ.get("INFEROMETER_TOKEN")
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def get(self, path: str, **params: str | int | None) -> Any:
        """Return the JSON answer of a GET. Raises `Failure` with the cause and a hint."""
        return self._call("GET", path, params={k: v for k, v in params.items() if v is not None})

    def send(self, method: str, path: str, body: object | None = None) -> Any:
        """Return the JSON answer of a POST, PUT or DELETE; None for an empty one."""
        return self._call(method, path, json=body)

    def _call(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = self._http.request(method, path, **more)
        except httpx.TransportError as error:
            raise Failure(
                f"{method} {self.url}{path}: {error}; "
                "is `inferometer up` running there? (--server, INFEROMETER_URL)"
            ) from None
        if answer.status_code in {401, 403}:
            raise Failure(
                f"{method} {self.url}{path}: {_detail(answer)}; "
                "give an admin token with --token or INFEROMETER_TOKEN"
            )
        if answer.is_error:
            raise Failure(f"{method} {self.url}{path}: {answer.status_code}: {_detail(answer)}")
        return answer.json() if answer.content else None


def _detail(answer: httpx.Response) -> str:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase
    return detail if isinstance(detail, str) else str(detail)
