"""What can be wrong with an objective."""

from __future__ import annotations


class ObjectiveError(ValueError):
    """An objective that cannot be judged as written. Permanent: retrying changes nothing.

    `subject` names the part at fault (`target`, `limit`, `group_by`), so that a file reader
    can point at its line; `cause` says what is wrong, `hint` what to write instead.
    """

    permanent = True

    def __init__(self, subject: str, cause: str, hint: str) -> None:
        super().__init__(f"{subject}: {cause}; {hint}")
        self.subject = subject
        self.cause = cause
        self.hint = hint
