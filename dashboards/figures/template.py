"""What a figure is: empty Plotly traces, a layout, and which column fills which slot."""

from __future__ import annotations

import json
from dataclasses import dataclass
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
GREY: Final = "#8a94a0"
COLORWAY: Final = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, "#b3a100", GREY)
"""Okabe-Ito: told apart by people who do not see red and green apart."""


@dataclass(frozen=True, slots=True)
class Template:
    """A figure without data.

    `fill[i]` maps slots of trace i (x, y, customdata) to column names of the view. With `per`
    the traces are drawn once for each series of the view, named by it.
    """

    figure: go.Figure
    fill: tuple[dict[str, str], ...]
    per: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the figure as the browser takes it: `data`, `layout`, `fill`, `per`."""
        plain = json.loads(self.figure.to_json() or "{}")
        layout = {key: value for key, value in plain["layout"].items() if key != "template"}
        return {"data": plain["data"], "layout": layout, "fill": list(self.fill), "per": self.per}


def line(name: str, color: str | None, **more: Any) -> go.Scatter:
    """Return an empty line trace; a gap in its data stays a gap in the line."""
    return go.Scatter(
        name=name,
        mode="lines",
        connectgaps=False,
        line={"color": color, "width": 2, **more.pop("line", {})},
        **more,
    )


def figure(traces: list[Any], y_title: str, **layout: Any) -> go.Figure:
    """Return a figure of `traces` over time with this product's margins and type."""
    base: dict[str, Any] = {
        "margin": {"l": 52, "r": 12, "t": 6, "b": 30},
        "font": {"size": 12, "family": "system-ui, sans-serif"},
        "colorway": list(COLORWAY),
        "legend": {"orientation": "h", "y": -0.16, "x": 0},
        "hovermode": "x unified",
        "xaxis": {"type": "date", "showgrid": False},
        "yaxis": {"title": {"text": y_title}, "rangemode": "tozero", "automargin": True},
    }
    return go.Figure(data=traces, layout=base | layout)


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
