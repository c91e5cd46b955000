"""The time to first token: how many requests had which, and the median, 95th and 99th percentile."""

from dashboards.figures.template import BLUE, ORANGE, SECONDS, VERMILLION, Template, figure, heat, line

TEMPLATE = Template(
    figure(
        [
            heat(),
            line("p50", BLUE),
            line("p95", ORANGE, line={"dash": "dash"}),
            line("p99", VERMILLION, line={"dash": "dot"}),
        ],
        "",
        yaxis={"type": "log", "automargin": True, "nticks": 6, **SECONDS},
    ),
    (
        {"x": "edges", "y": "levels", "z": "heat"},
        *({"x": "at", "y": name} for name in ("p50", "p95", "p99")),
    ),
)
