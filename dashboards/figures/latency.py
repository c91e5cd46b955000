"""One latency over time: its median, 95th and 99th percentile, on a logarithmic axis."""

from dashboards.figures.template import BLUE, ORANGE, VERMILLION, Template, figure, line

TEMPLATE = Template(
    figure(
        [
            line("p50", BLUE),
            line("p95", ORANGE, line={"dash": "dash"}),
            line("p99", VERMILLION, line={"dash": "dot"}),
        ],
        "seconds",
        yaxis={"title": {"text": "seconds"}, "type": "log", "automargin": True, "dtick": 1},
    ),
    tuple({"x": "at", "y": name} for name in ("p50", "p95", "p99")),
)
