"""The good share of a tried objective beside what it is now and the target that was tried."""

from dashboards.figures.template import BLUE, GOOD_SHARE, GREY, ORANGE, Template, figure, line

TEMPLATE = Template(
    figure(
        [
            line("as it stands", GREY, line={"width": 1.5}),
            line("tried", BLUE, mode="lines+markers", marker={"size": 4}),
            line("target tried", ORANGE, line={"dash": "dash", "width": 1.5}),
        ],
        "good share",
        yaxis={"title": {"text": "good share"}, "automargin": True, **GOOD_SHARE},
    ),
    ({"x": "at", "y": "now"}, {"x": "at", "y": "share"}, {"x": "at", "y": "target"}),
)
