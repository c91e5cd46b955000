"""Demand against what is served: arrivals and finished per second, waiting and running beside."""

from dashboards.figures.template import BLUE, GREEN, GREY, VERMILLION, Template, figure, line

TEMPLATE = Template(
    figure(
        [
            line("arrived per second", BLUE),
            line("finished per second", GREEN, line={"dash": "dash"}),
            line("waiting", VERMILLION, yaxis="y2", fill="tozeroy", line={"width": 1}),
            line("running", GREY, yaxis="y2", line={"dash": "dot"}),
        ],
        "requests per second",
        yaxis2={
            "title": {"text": "requests"},
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "showgrid": False,
        },
        margin={"l": 52, "r": 52, "t": 6, "b": 30},
    ),
    (
        {"x": "at", "y": "arrived"},
        {"x": "at", "y": "finished"},
        {"x": "at", "y": "waiting"},
        {"x": "at", "y": "running"},
    ),
)
