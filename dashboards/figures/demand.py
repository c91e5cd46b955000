"""Demand against what is served: arrived and finished a second; below, waiting and running."""

from dashboards.figures.template import BLUE, GREEN, GREY, VERMILLION, Template, figure, line, stacked

TEMPLATE = Template(
    figure(
        [
            line("arrived", BLUE),
            line("finished", GREEN, line={"dash": "dash"}),
            line("waiting", VERMILLION, yaxis="y2", fill="tozeroy"),
            line("running", GREY, yaxis="y2", line={"dash": "dot"}),
        ],
        "",
        **stacked(("requests/s", {}), ("requests", {})),
    ),
    tuple({"x": "at", "y": name} for name in ("arrived", "finished", "waiting", "running")),
)
