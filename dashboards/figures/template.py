"""What a figure is: empty Plotly traces, a layout, and which column fills which slot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.resources import files
from pkgutil import iter_modules
from typing import Any, Final

import plotly.graph_objects as go

BLUE: Final = "#0072B2"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
ORANGE: Final = "#E69F00"
VERMILLION: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
YELLOW: Final = "#b3a100"
GREY: Final = "#8a94a0"
COLORWAY: Final = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, YELLOW, GREY)
"""Okabe-Ito: told apart by people who do not see red and green apart."""
SECONDS: Final[dict[str, Any]] = {"tickformat": "~s", "ticksuffix": "s", "hoverformat": ".3~s"}
"""An axis of latencies: 20ms, 1.5s."""
PERCENT: Final[dict[str, Any]] = {"tickformat": ".0%", "rangemode": "tozero"}
GOOD_SHARE: Final[dict[str, Any]] = {"tickformat": ".6~%", "hoverformat": ".4~%", "rangemode": "normal"}
"""An axis that tells 99.95 % from 100 %."""
TIME: Final[dict[str, Any]] = {
    "type": "date",
    "showgrid": False,
    "hoverformat": "%-d %b %Y, %H:%M:%S UTC",
    "tickangle": 0,
    "nticks": 8,
    # The second line is drawn only where it changes.
    "tickformatstops": [
        {"dtickrange": [None, 30_000], "value": "%H:%M:%S\n%-d %b %Y, UTC"},
        {"dtickrange": [30_000, 86_000_000], "value": "%H:%M\n%-d %b %Y, UTC"},
        {"dtickrange": [86_000_000, None], "value": "%-d %b\n%Y, UTC"},
    ],
}


@dataclass(frozen=True, slots=True)
class Template:
    """A figure without data.

    `fill[i]` maps slots of trace i (x, y, z) to column names of the view. With `per` the traces
    are drawn once for each series of the view, named by it and styled by `styles[name]`, else
    by the next of `cycle`.
    """

    figure: go.Figure
    fill: tuple[dict[str, str], ...]
    per: bool = False
    styles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    cycle: tuple[Mapping[str, Any], ...] = ()

    @property
    def columns(self) -> frozenset[str]:
        """Every column that a view must give, or each of its series with `per`."""
        return frozenset(name for slots in self.fill for name in slots.values())

    def to_json(self) -> dict[str, Any]:
        """Return the figure as the browser takes it."""
        plain = json.loads(self.figure.to_json() or "{}")
        layout = {key: value for key, value in plain["layout"].items() if key != "template"}
        return {
            "data": plain["data"],
            "layout": layout,
            "fill": list(self.fill),
            "per": self.per,
            "styles": {name: dict(style) for name, style in self.styles.items()},
            "cycle": [dict(style) for style in self.cycle],
        }


def line(name: str, color: str | None, **more: Any) -> go.Scatter:
    """Return an empty line trace; a gap in its data stays a gap in the line."""
    return go.Scatter(
        name=name,
        mode=more.pop("mode", "lines"),
        connectgaps=False,
        line={"color": color, "width": 2, **more.pop("line", {})},
        **more,
    )


def bars(name: str | None, color: str | None = None, pattern: str = "", **more: Any) -> go.Bar:
    """Return an empty trace of bars, each from its bucket's start to the next."""
    return go.Bar(name=name, offset=0, marker=marker(color, pattern), **more)


def marker(color: str | None, pattern: str = "") -> dict[str, Any]:
    """Return how a bar looks: its colour, and a pattern for those who do not see colours apart."""
    shape = {"shape": pattern, "size": 6, "solidity": 0.3, "fillmode": "overlay"}
    return {"color": color, "pattern": {**shape, "fgcolor": "rgba(255,255,255,0.75)"}}


def heat() -> go.Heatmap:
    """Return an empty trace of counts by time and latency: the darker, the more requests."""
    return go.Heatmap(
        name="requests",
        colorscale=[(0.0, "rgba(86,180,233,0.18)"), (1.0, "rgba(0,114,178,0.75)")],
        showscale=False,
        hoverinfo="skip",
    )


def figure(traces: list[Any], y_title: str, **layout: Any) -> go.Figure:
    """Return a figure of `traces` over time with this product's margins and type."""
    base: dict[str, Any] = {
        "margin": {"l": 56, "r": 14, "t": 8, "b": 40},
        "font": {"size": 12, "family": "system-ui, sans-serif"},
        "colorway": list(COLORWAY),
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 11.5}},
        "showlegend": True,
        "hovermode": "x unified",
        "xaxis": TIME,
        "yaxis": {"title": {"text": y_title}, "rangemode": "tozero", "automargin": True},
    }
    return go.Figure(data=traces, layout=base | layout)


def stacked(*axes: tuple[str, dict[str, Any]], gap: float = 0.09) -> dict[str, Any]:
    """Return y axes one above the other on one time axis: (title, settings) from the top down."""
    height = (1 - gap * (len(axes) - 1)) / len(axes)
    found: dict[str, Any] = {}
    for at, (title, settings) in enumerate(axes):
        top = 1 - at * (height + gap)
        found[f"yaxis{at + 1 if at else ''}"] = {
            "title": {"text": title},
            "domain": [max(top - height, 0), top],
            "rangemode": "tozero",
            "automargin": True,
            "nticks": 4,
            **settings,
        }
    lowest = f"y{len(axes)}" if len(axes) > 1 else "y"
    return found | {"xaxis": {**TIME, "anchor": lowest}}


@cache
def templates() -> dict[str, Template]:
    """Return every figure of this folder by its file's name; built once a process."""
    package = __name__.rsplit(".", 1)[0]
    names = [found.name for found in iter_modules([str(files(package))]) if found.name != "template"]
    return {name: import_module(f"{package}.{name}").TEMPLATE for name in names}


def plotly_script() -> str:
    """Return plotly.js as shipped with the Plotly package: no CDN is ever asked."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - 5 MB of text, read only when served

    script: str = get_plotlyjs()
    return script


def plotly_version() -> str:
    """Return the version of that plotly.js."""
    from plotly.offline import get_plotlyjs_version  # noqa: PLC0415 - as above

    version: str = get_plotlyjs_version()
    return version
