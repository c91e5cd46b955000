"""The gaps between tokens: how many were how long, their percentiles, and the longest of all."""

from dashboards.figures.template import BLUE, GREY, ORANGE, SECONDS, VERMILLION, Template, figure, heat, line

TEMPLATE = Template(
    figure(
        [
            heat(),
            line("p50", BLUE, line={"shape": "hvh"}),
            line("p95", ORANGE, line={"dash": "dash", "shape": "hvh"}),
            line("p99", VERMILLION, line={"dash": "dot", "shape": "hvh"}),
            line("longest", GREY, line={"width": 1}),
        ],
        "",
        yaxis={"type": "log", "automargin": True, "nticks": 6, **SECONDS},
    ),
    (
        {"x": "edges", "y": "levels", "z": "heat"},
        *({"x": "at", "y": name} for name in ("p50", "p95", "p99", "longest")),
    ),
)
