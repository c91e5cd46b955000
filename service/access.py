"""Who is calling: a token's name and what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from service.store.tokens import Role


@dataclass(frozen=True, slots=True)
class Caller:
    """A known caller. An admin may do everything; an agent may only deliver its own facts."""

    name: str
    role: Role


ANYONE: Final = Caller("anyone", Role.READ)
"""Who reads pages of a service that is open to readers."""


def may(caller: Caller, role: Role) -> bool:
    """Tell whether a caller may do what is kept for a role."""
    return caller.role is Role.ADMIN or caller.role is role
