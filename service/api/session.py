"""Sign-in of a browser: a token becomes a cookie that scripts cannot read."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel, Field

from service.access import may
from service.api.callers import COOKIE, TheService
from service.store.tokens import Role

router = APIRouter(prefix="/api/v1", tags=["access"])


class SignIn(BaseModel):
    """A token, as `inferometer token create` printed it."""

    token: str = Field(min_length=1, max_length=200)


@router.post("/session", status_code=204)
def sign_in(body: SignIn, service: TheService) -> Response:
    """Open a session for the token; 401 for one that is not known, 403 for an agent's."""
    secret = body.token.strip()
    caller = service.identify(secret)
    if caller is None:
        raise HTTPException(401, "that token is not known here, or was revoked")
    if not may(caller, Role.READ):
        raise HTTPException(403, f"token {caller.name!r} is for {caller.role}; pages need read or admin")
    answer = Response(status_code=204)
    secure = (service.settings.external_url or "").startswith("https:")
    answer.set_cookie(COOKIE, secret, httponly=True, samesite="strict", secure=secure)
    return answer


@router.delete("/session", status_code=204)
def sign_out() -> Response:
    """End the session."""
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE)
    return answer
