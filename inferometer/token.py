"""`inferometer token`: who may deliver facts, who may look, who may change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from inferometer.options import AsJson, DataDir, StateUrl
from inferometer.saying import Failure, answer, answer_json, answer_table, say
from inferometer.state_store import note_audit, opened_state

if TYPE_CHECKING:
    from service.store.tokens import Token

app = typer.Typer(help="Access tokens: made, listed, revoked; only their hash is kept.", no_args_is_help=True)
_LONGEST_NAME = 200
_MEANING = {
    "agent": "give it to `inferometer agent` as INFEROMETER_AGENT_TOKEN; facts arrive under its name",
    "read": "it opens the pages and may look at everything",
    "admin": "it may change everything",
}
Name = Annotated[
    str, typer.Argument(help="What the token is called; an agent's facts carry it.", show_default=False)
]


@app.command("create")
def create(
    name: Name,
    role: Annotated[
        str,
        typer.Option(
            help="agent (delivers facts), read (looks), admin (does everything).", show_default=False
        ),
    ],
    data_dir: DataDir = None,
    state_url: StateUrl = None,
) -> None:
    """Make a token and print it: the only time it can be seen.

    Works beside a running service, which knows it at once.

    Example: inferometer token create gpu-host-7 --role agent
    """
    from service.clock import now_us
    from service.store.tokens import Role

    if role not in _MEANING:
        raise Failure(f"--role {role!r}: no such role; there are {', '.join(_MEANING)}", code=2)
    if not 0 < len(name) <= _LONGEST_NAME or name != name.strip() or not name.isprintable():
        raise Failure(
            f"token name {name!r}: use 1 to {_LONGEST_NAME} printable characters, no space at an end", code=2
        )
    with opened_state(data_dir, state_url, make=True) as state:
        older = [
            token for token in state.tokens.listed() if token.name == name and token.revoked_at_us is None
        ]
        text = state.tokens.create(name, Role(role), now_us=now_us())
        note_audit(state, "create token", name)
    answer(text)
    say(f"shown once; {_MEANING[role]}")
    if older:
        say(
            f"{name} has {len(older)} older valid token(s): `inferometer token revoke {name}` revokes all of them"
        )


@app.command("list")
def list_(data_dir: DataDir = None, state_url: StateUrl = None, as_json: AsJson = False) -> None:
    """List every token there ever was, without its text."""
    with opened_state(data_dir, state_url, make=False) as state:
        tokens = state.tokens.listed()
    rows = [_row(token) for token in tokens]
    if as_json:
        answer_json([dict(zip(_COLUMNS, row, strict=True)) for row in rows])
    else:
        answer_table("tokens", _COLUMNS, rows)


@app.command("revoke")
def revoke(name: Name, data_dir: DataDir = None, state_url: StateUrl = None) -> None:
    """Revoke every valid token of a name; it opens nothing from this moment on."""
    from service.clock import now_us

    with opened_state(data_dir, state_url, make=False) as state:
        revoked = state.tokens.revoke(name, now_us=now_us())
        if not revoked:
            valid = sorted({token.name for token in state.tokens.listed() if token.revoked_at_us is None})
            raise Failure(
                f"revoke {name!r}: no valid token has this name; there are {', '.join(valid) or 'none'}"
            )
        note_audit(state, "revoke token", name)
    answer(f"revoked {revoked} token(s) of {name}")


_COLUMNS = ("name", "role", "created", "revoked")


def _row(token: Token) -> tuple[str, str, str, str | None]:
    revoked = None if token.revoked_at_us is None else _time(token.revoked_at_us)
    return token.name, token.role.value, _time(token.created_at_us), revoked


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="seconds")
