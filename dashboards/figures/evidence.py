"""The proof of a finding: queue, tokens and GPU activity of its replicas on one time axis."""

from dashboards.figures.template import (
    BLUE,
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
            line("waiting", VERMILLION),
            line("running", GREY, line={"dash": "dot"}),
            line("output tokens per second", BLUE, yaxis="y2"),
            line("SM activity", GREEN, yaxis="y3"),
            line("kernel-busy", GREY, yaxis="y3", line={"dash": "dot"}),
            line("KV usage", PURPLE, yaxis="y3", line={"dash": "dash"}),
        ],
        "",
        **stacked(("requests", {}), ("tokens/s", {}), ("share", {**PERCENT, "range": [0, 1.05]})),
    ),
    tuple({"x": "at", "y": name} for name in ("waiting", "running", "tokens", "sm", "busy", "kv")),
)
