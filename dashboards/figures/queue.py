"""Requests running and waiting, and the KV usage that decides how many can run."""

from dashboards.figures.template import GREEN, GREY, VERMILLION, Template, figure, line

TEMPLATE = Template(
    figure(
        [
            line("waiting", VERMILLION, fill="tozeroy"),
            line("running", GREY),
            line("KV usage", GREEN, yaxis="y2", line={"dash": "dash"}),
        ],
        "requests",
        yaxis2={
            "overlaying": "y",
            "side": "right",
            "range": [0, 1.02],
            "tickformat": ".0%",
            "showgrid": False,
        },
        margin={"l": 52, "r": 46, "t": 6, "b": 30},
    ),
    ({"x": "at", "y": "waiting"}, {"x": "at", "y": "running"}, {"x": "at", "y": "kv"}),
)
