"""Authentication at the edge: a bearer token, or the session cookie of a browser.

Coroutines all: a plain function would be run in a thread, twice the cost of taking a batch.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from service.access import ANYONE, Caller, may
from service.store.tokens import Role
from service.wiring import Service

COOKIE: Final = "inferometer_session"


async def service_of(request: Request) -> Service:
    """Return the service this app is made for."""
    return _service(request)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def caller_of(request: Request) -> Caller | None:
    """Return who calls; None for nobody known.

    A caller of the last second is known at once; another is looked up in a thread, off the loop.
    """
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        secret = request.cookies.get(COOKIE, "")
    callers, secret = _service(request).callers, secret.strip()
    if not secret:
        return None
    return callers.remembered(secret) or await run_in_threadpool(callers.find, secret)


async def _allowed(request: Request, role: Role) -> Caller:
    caller = await caller_of(request)
    if caller is not None and may(caller, role):
        return caller
    _service(request).tally.add("unauthorized")
    if caller is None:
        hint = "send `Authorization: Bearer TOKEN`; `inferometer token create` makes one"
        raise HTTPException(401, f"no token, or one that is not known here; {hint}")
    raise HTTPException(403, f"token {caller.name!r} is for {caller.role}, this needs {role}")


async def agent(request: Request) -> Caller:
    """Let agents in."""
    return await _allowed(request, Role.AGENT)


async def admin(request: Request) -> Caller:
    """Let admins in."""
    return await _allowed(request, Role.ADMIN)


async def reader(request: Request) -> Caller:
    """Let readers in; anyone when the service is open to readers."""
    if _service(request).settings.open_to_readers:
        return await caller_of(request) or ANYONE
    return await _allowed(request, Role.READ)


TheService = Annotated[Service, Depends(service_of)]
Agent = Annotated[Caller, Depends(agent)]
Admin = Annotated[Caller, Depends(admin)]
Reader = Annotated[Caller, Depends(reader)]
