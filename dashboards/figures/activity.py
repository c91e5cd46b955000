"""What a GPU is said to do (kernel-busy) beside what it does (SM, tensor, DRAM activity)."""

from dashboards.figures.template import BLUE, GREEN, GREY, ORANGE, Template, figure, line

TEMPLATE = Template(
    figure(
        [
            line("kernel-busy", GREY, line={"dash": "dot"}),
            line("SM activity", BLUE),
            line("tensor activity", ORANGE, line={"dash": "dash"}),
            line("DRAM activity", GREEN, line={"dash": "dashdot"}),
        ],
        "share of time",
        yaxis={
            "title": {"text": "share of time"},
            "tickformat": ".0%",
            "range": [0, 1.02],
            "automargin": True,
        },
    ),
    tuple({"x": "at", "y": name} for name in ("kernel_busy", "sm", "tensor", "dram")),
)
