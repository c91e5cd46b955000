"""The share of good requests of one objective, minute by minute, beside its target; bad ones below."""

from dashboards.figures.template import (
    BLUE,
    GOOD_SHARE,
    GREY,
    VERMILLION,
    Template,
    bars,
    figure,
    line,
    stacked,
)

TEMPLATE = Template(
    figure(
        [
            line("good share", BLUE, mode="lines+markers"),
            line("target", GREY, line={"dash": "dash", "width": 1.5}),
            bars("bad", VERMILLION, yaxis="y2"),
        ],
        "",
        **stacked(("good share", GOOD_SHARE), ("bad", {"nticks": 3})),
        bargap=0,
    ),
    ({"x": "at", "y": "share"}, {"x": "at", "y": "target"}, {"x": "at", "y": "bad"}),
)
