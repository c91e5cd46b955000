"""The pages: what each is called and what it answers; their common frame and its ranges of time."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Final


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its path and script name, its title, the question it answers."""

    slug: str
    title: str
    question: str

    @property
    def path(self) -> str:
        """Return the page's address on the service."""
        return "/" if self.slug == "overview" else f"/{self.slug}"


@dataclass(frozen=True, slots=True)
class Range:
    """A span of time that every page can show: its word in addresses, its name, its length."""

    slug: str
    title: str
    seconds: int


PAGES: Final[tuple[Page, ...]] = (
    Page(
        "overview",
        "Overview",
        "Is every promise kept, what burns, what is idle while something waits, what it costs.",
    ),
    Page("objectives", "Objectives", "Which promise burns its budget, since when, and who spent it."),
    Page("gpus", "GPUs", "What each GPU really does, beside what it is said to do."),
    Page("requests", "Requests", "How long users waited, for what, and which requests failed."),
    Page("cost", "Cost", "What each tenant and model costs, and what nobody used."),
    Page("alerts", "Alerts", "What is wrong, who was told, and the proof."),
)
RANGES: Final[tuple[Range, ...]] = (
    Range("5m", "5 minutes", 300),
    Range("15m", "15 minutes", 900),
    Range("1h", "1 hour", 3_600),
    Range("6h", "6 hours", 21_600),
    Range("1d", "1 day", 86_400),
    Range("7d", "7 days", 604_800),
    Range("30d", "30 days", 2_592_000),
)
USUAL_RANGE: Final = "1h"
STATIC: Final = files("dashboards") / "static"
MEDIA_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def render(page: Page, *, plotly_url: str) -> str:
    """Return a page's HTML; its data comes later, from the view of the same name."""
    nav = "".join(
        f'<a href="{other.path}"{" aria-current=page" if other is page else ""}>{escape(other.title)}</a>'
        for other in PAGES
    )
    ranges = "".join(
        f'<option value="{each.slug}" data-seconds="{each.seconds}"'
        f"{' selected' if each.slug == USUAL_RANGE else ''}>last {escape(each.title)}</option>"
        for each in RANGES
    )
    frame = (files("dashboards") / "page.html").read_text()
    return frame.format(
        title=escape(page.title),
        slug=page.slug,
        nav=nav,
        ranges=ranges,
        question=escape(page.question),
        plotly=escape(plotly_url),
    )


def static_files() -> dict[str, tuple[bytes, str]]:
    """Return every static file's bytes and media type by name; plotly.js is not among them."""
    return {
        item.name: (item.read_bytes(), MEDIA_TYPES["." + item.name.rsplit(".", 1)[1]])
        for item in STATIC.iterdir()
        if item.is_file()
    }
