"""The charge over time, stacked by class, as money per hour."""

import plotly.graph_objects as go

from dashboards.figures.template import Template, figure

TEMPLATE = Template(
    figure([go.Bar()], "per hour", barmode="stack", showlegend=True),
    ({"x": "at", "y": "amount"},),
    per=True,
)
