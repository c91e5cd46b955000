"""The budget left of one objective over its window; what lies below zero is overspent."""

from dashboards.figures.template import GREEN, VERMILLION, Template, figure, line

TEMPLATE = Template(
    figure(
        [
            line("budget left", GREEN, fill="tozeroy"),
            line("overspent", VERMILLION, fill="tozeroy", line={"dash": "dot"}),
        ],
        "budget left",
        yaxis={
            "title": {"text": "share of the budget"},
            "tickformat": ".0%",
            "rangemode": "tozero",
            "automargin": True,
        },
    ),
    ({"x": "at", "y": "left"}, {"x": "at", "y": "over"}),
)
