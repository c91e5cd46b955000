"""Which receivers are told of an alert: Alertmanager's routing tree, read by a pure function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from alerts.matchers import Matcher, all_match


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A node of the tree. Its own matchers decide whether an alert enters it.

    An alert that enters goes to the first child that takes it (and on to the next ones while
    `go_on`, Alertmanager's `continue`, says so), else to this node's receiver. `group_by`
    names the labels whose values make a group; `("...",)` = every label, so no grouping.
    """

    receiver: str
    matchers: tuple[Matcher, ...] = ()
    group_by: tuple[str, ...] = ("alertname",)
    go_on: bool = False
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """The node an alert ended at, and the path of matchers that led there (root first)."""

    route: Route
    path: tuple[tuple[Matcher, ...], ...]


def matches(root: Route, labels: Mapping[str, str]) -> list[Match]:
    """Return the nodes an alert ends at, in the tree's order; the root takes what no child takes.

    Empty only when the root itself has matchers and they do not pass.
    """
    return list(_walk(root, labels, ()))


def _walk(route: Route, labels: Mapping[str, str], path: tuple[tuple[Matcher, ...], ...]) -> Iterator[Match]:
    if not all_match(route.matchers, labels):
        return
    path = (*path, route.matchers)
    taken = False
    for child in route.routes:
        below = list(_walk(child, labels, path))
        yield from below
        taken = taken or bool(below)
        if below and not child.go_on:
            return
    if not taken:
        yield Match(route, path)
