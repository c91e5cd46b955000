"""The budget left of one objective over its window; below zero it is overspent."""

from dashboards.figures.template import GREEN, Template, figure, line

TEMPLATE = Template(
    figure(
        [line("budget left", GREEN, fill="tozeroy")],
        "budget left",
        yaxis={"title": {"text": "budget left"}, "tickformat": ".0%", "automargin": True},
        showlegend=False,
    ),
    ({"x": "at", "y": "left"},),
)
