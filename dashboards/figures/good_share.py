"""The share of good requests of one objective, minute by minute, beside its target."""

from dashboards.figures.template import BLUE, VERMILLION, Template, figure, line

TEMPLATE = Template(
    figure(
        [line("good share", BLUE), line("target", VERMILLION, line={"dash": "dash", "width": 1})],
        "good share",
        yaxis={
            "title": {"text": "good share"},
            "tickformat": ".1%",
            "rangemode": "normal",
            "automargin": True,
        },
    ),
    ({"x": "at", "y": "share"}, {"x": "at", "y": "target"}),
)
