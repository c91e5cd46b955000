"""The power that the GPUs draw, and what they are allowed to."""

from dashboards.figures.template import GREY, ORANGE, Template, figure, line

TEMPLATE = Template(
    figure(
        [line("power drawn", ORANGE), line("power limit", GREY, line={"dash": "dot", "width": 1.5})],
        "watts",
        yaxis={
            "title": {"text": "watts"},
            "tickformat": "~s",
            "ticksuffix": "W",
            "rangemode": "tozero",
            "automargin": True,
        },
    ),
    ({"x": "at", "y": "power"}, {"x": "at", "y": "allowed"}),
)
