"""How requests ended, per minute: well, failed, or given up by their client."""

import plotly.graph_objects as go

from dashboards.figures.template import GREEN, ORANGE, VERMILLION, Template, figure


def _bar(name: str, color: str, pattern: str) -> go.Bar:
    return go.Bar(name=name, marker={"color": color, "pattern": {"shape": pattern, "size": 5}})


TEMPLATE = Template(
    figure(
        [_bar("ok", GREEN, ""), _bar("aborted", ORANGE, "."), _bar("error", VERMILLION, "/")],
        "requests",
        barmode="stack",
    ),
    tuple({"x": "at", "y": name} for name in ("ok", "aborted", "error")),
)
