"""Authentication at the edge: a bearer token, or the session cookie of a browser."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, HTTPException, Request

from service.access import ANYONE, Caller, may
from service.store.tokens import Role
from service.wiring import Service

COOKIE: Final = "inferometer_session"


def service_of(request: Request) -> Service:
    """Return the service this app is made for."""
    service: Service = request.app.state.service
    return service


def caller_of(request: Request) -> Caller | None:
    """Return who calls; None for nobody known."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        secret = request.cookies.get(COOKIE, "")
    return service_of(request).identify(secret.strip()) if secret else None


def _allowed(request: Request, role: Role) -> Caller:
    caller = caller_of(request)
    if caller is not None and may(caller, role):
        return caller
    service_of(request).tally.add("unauthorized")
    if caller is None:
        hint = "send `Authorization: Bearer TOKEN`; `inferometer token create` makes one"
        raise HTTPException(401, f"no token, or one that is not known here; {hint}")
    raise HTTPException(403, f"token {caller.name!r} is for {caller.role}, this needs {role}")


def agent(request: Request) -> Caller:
    """Let agents in."""
    return _allowed(request, Role.AGENT)


def admin(request: Request) -> Caller:
    """Let admins in."""
    return _allowed(request, Role.ADMIN)


def reader(request: Request) -> Caller:
    """Let readers in; anyone when the service is open to readers."""
    if service_of(request).settings.open_to_readers:
        return caller_of(request) or ANYONE
    return _allowed(request, Role.READ)


TheService = Annotated[Service, Depends(service_of)]
Agent = Annotated[Caller, Depends(agent)]
Admin = Annotated[Caller, Depends(admin)]
Reader = Annotated[Caller, Depends(reader)]
