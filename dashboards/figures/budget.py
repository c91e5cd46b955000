"""The budget left of one objective over its window; what lies below zero is overspent; then the forecast."""

from dashboards.figures.template import BLUE, GREEN, TIME, VERMILLION, Template, figure, line

TEMPLATE = Template(
    figure(
        [
            line("budget left", GREEN, fill="tozeroy"),
            line("overspent", VERMILLION, fill="tozeroy", line={"dash": "dot"}),
            line("at best", BLUE, line={"width": 0.5}, showlegend=False),
            line(
                "four in five futures",
                BLUE,
                line={"width": 0.5},
                fill="tonexty",
                fillcolor="rgba(0,114,178,0.18)",
            ),
            line("expected", BLUE, line={"dash": "dash", "width": 1.5}),
        ],
        "budget left",
        xaxis={**TIME, "nticks": 3},
        yaxis={
            "title": {"text": "share of the budget"},
            "tickformat": ".0%",
            "rangemode": "tozero",
            "automargin": True,
        },
    ),
    (
        {"x": "at", "y": "left"},
        {"x": "at", "y": "over"},
        {"x": "ahead", "y": "high"},
        {"x": "ahead", "y": "low"},
        {"x": "ahead", "y": "middle"},
    ),
)
