"""Requests running and waiting, and the KV usage that decides how many can run."""

from dashboards.figures.template import (
    GREEN,
    GREY,
    PERCENT,
    PURPLE,
    VERMILLION,
    Template,
    figure,
    line,
    stacked,
)

TEMPLATE = Template(
    figure(
        [
            line("waiting", VERMILLION, fill="tozeroy"),
            line("running", GREY, line={"dash": "dot"}),
            line("KV usage, mean", GREEN, yaxis="y2"),
            line("fullest replica", PURPLE, yaxis="y2", line={"dash": "dash", "width": 1.5}),
        ],
        "",
        **stacked(("requests", {}), ("KV usage", {**PERCENT, "range": [0, 1.05]})),
    ),
    tuple({"x": "at", "y": name} for name in ("waiting", "running", "kv", "kv_most")),
)
