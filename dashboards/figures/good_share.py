"""The share of good requests of one objective, minute by minute, beside its target; bad ones below."""

from dashboards.figures.template import BLUE, GREY, VERMILLION, Template, bars, figure, line, stacked

TEMPLATE = Template(
    figure(
        [
            line("good share", BLUE, mode="lines+markers"),
            line("target", GREY, line={"dash": "dash", "width": 1.5}),
            bars("bad requests", VERMILLION, yaxis="y2"),
        ],
        "",
        **stacked(
            ("good share", {"tickformat": ".1~%", "rangemode": "normal"}), ("bad requests", {"nticks": 3})
        ),
        bargap=0,
    ),
    ({"x": "at", "y": "share"}, {"x": "at", "y": "target"}, {"x": "at", "y": "bad"}),
)
