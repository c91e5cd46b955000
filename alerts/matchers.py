"""Label matchers as Alertmanager writes them: `severity="page"`, `pool=~"chat-.*"`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from alerts.errors import ConfigurationError

_TEST: Final[dict[str, Callable[[str, str], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "=~": lambda found, wanted: re.fullmatch(wanted, found) is not None,
    "!~": lambda found, wanted: re.fullmatch(wanted, found) is None,
}


@dataclass(frozen=True, slots=True)
class Matcher:
    """One test of one label. A label that is missing counts as empty; patterns match whole values.

    `operator` is one of = != =~ !~; `ConfigurationError` for another one or a broken pattern.
    """

    label: str
    operator: str
    value: str

    def __post_init__(self) -> None:
        """Refuse an unknown operator and a pattern that is none."""
        if self.operator not in _TEST:
            raise ConfigurationError(f"matcher {self}: the operator must be one of {', '.join(_TEST)}")
        if self.operator.endswith("~"):
            try:
                re.compile(self.value)
            except re.error as error:
                raise ConfigurationError(f"matcher {self}: not a regular expression ({error})") from None

    def __str__(self) -> str:
        return f'{self.label}{self.operator}"{self.value}"'

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a label set passes."""
        return _TEST[self.operator](labels.get(self.label, ""), self.value)


def all_match(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Tell whether every matcher passes; no matchers = yes."""
    return all(matcher.matches(labels) for matcher in matchers)
