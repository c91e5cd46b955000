"""Sign-in of a browser: a token becomes a cookie that scripts cannot read."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel, Field

from service.api.callers import COOKIE, TheService

router = APIRouter(prefix="/api/v1", tags=["access"])


class SignIn(BaseModel):
    """A token, as `inferometer token create` printed it."""

    token: str = Field(min_length=1, max_length=200)


@router.post("/session", status_code=204)
def sign_in(body: SignIn, service: TheService) -> Response:
    """Open a session for the token; 401 for one that is not known."""
    if service.identify(body.token.strip()) is None:
        raise HTTPException(401, "that token is not known here, or was revoked")
    answer = Response(status_code=204)
    secure = (service.settings.external_url or "").startswith("https:")
    answer.set_cookie(COOKIE, body.token.strip(), httponly=True, samesite="strict", secure=secure)
    return answer


@router.delete("/session", status_code=204)
def sign_out() -> Response:
    """End the session."""
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE)
    return answer
