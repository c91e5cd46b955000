"""The charge over time, stacked by class, as money per hour."""

from collections.abc import Mapping
from typing import Any

from dashboards.figures.template import (
    BLUE,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    YELLOW,
    Template,
    bars,
    figure,
    marker,
)


def _style(color: str, pattern: str = "") -> Mapping[str, Any]:
    return {"marker": marker(color, pattern)}


TEMPLATE = Template(
    figure([bars(None)], "money per hour", barmode="stack", bargap=0),
    ({"x": "at", "y": "amount"},),
    per=True,
    styles={
        "useful": _style(BLUE),
        "slo_miss": _style(VERMILLION, "/"),
        "headroom": _style(SKY),
        "idle.ready": _style(YELLOW, "."),
        "idle.unallocated": _style(YELLOW, "x"),
        "overhead.load": _style(PURPLE),
        "overhead.warmup": _style(PURPLE, "-"),
        "overhead.drain": _style(PURPLE, "|"),
        "unobserved": _style(GREY, "\\"),
        "waste.preempt": _style(ORANGE, "-"),
        "waste.spec": _style(ORANGE, "|"),
        "waste.cancel": _style(ORANGE, "+"),
        "waste.error": _style(ORANGE, "x"),
    },
)
