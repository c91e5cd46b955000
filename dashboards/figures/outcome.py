"""How requests ended: well, given up by their client, or failed."""

from dashboards.figures.template import GREEN, ORANGE, VERMILLION, Template, bars, figure

TEMPLATE = Template(
    figure(
        [bars("ok", GREEN), bars("aborted", ORANGE, "."), bars("error", VERMILLION, "/")],
        "requests",
        barmode="stack",
        bargap=0,
    ),
    tuple({"x": "at", "y": name} for name in ("ok", "aborted", "error")),
)
