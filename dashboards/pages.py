"""The pages: what each is called and what it answers; their common frame."""

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
STATIC: Final = files("dashboards") / "static"
MEDIA_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def render(page: Page) -> str:
    """Return a page's HTML; its data comes later, from the view of the same name."""
    nav = "".join(
        f'<a href="{other.path}"{" aria-current=page" if other is page else ""}>{escape(other.title)}</a>'
        for other in PAGES
    )
    frame = (files("dashboards") / "page.html").read_text()
    return frame.format(title=escape(page.title), slug=page.slug, nav=nav, question=escape(page.question))


def static_files() -> dict[str, tuple[bytes, str]]:
    """Return every static file's bytes and media type by name; plotly.js is not among them."""
    return {
        item.name: (item.read_bytes(), MEDIA_TYPES["." + item.name.rsplit(".", 1)[1]])
        for item in STATIC.iterdir()
        if item.is_file()
    }
