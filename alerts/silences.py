"""Silences: a person says "not this, until then"; the answer is a reason, not a boolean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alerts.errors import ConfigurationError
from alerts.matchers import Matcher, all_match


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Alerts that pass every matcher are not sent in [starts_at_us, ends_at_us), UTC.

    `ConfigurationError` for a silence without matchers (it would mute everything) or one
    that ends before it starts.
    """

    id: str
    matchers: tuple[Matcher, ...]
    starts_at_us: int
    ends_at_us: int
    created_by: str
    comment: str = ""

    def __post_init__(self) -> None:
        """Refuse a silence that mutes everything or nothing."""
        if not self.matchers:
            raise ConfigurationError(f"silence {self.id}: needs at least one matcher")
        if self.ends_at_us <= self.starts_at_us:
            raise ConfigurationError(f"silence {self.id}: ends before it starts")


def silenced_by(silences: Iterable[Silence], labels: Mapping[str, str], now_us: int) -> Silence | None:
    """Return the silence that mutes an alert the longest now; None = none does."""
    active = (
        each
        for each in silences
        if each.starts_at_us <= now_us < each.ends_at_us and all_match(each.matchers, labels)
    )
    return max(active, key=lambda each: each.ends_at_us, default=None)
