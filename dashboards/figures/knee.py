"""Latency against concurrency: a mark for each minute and pool; the bend is the pool's limit."""

import plotly.graph_objects as go

from dashboards.figures.template import Template, figure

TEMPLATE = Template(
    figure(
        [go.Scatter(mode="markers", marker={"size": 7, "opacity": 0.7})],
        "TTFT p95, seconds",
        xaxis={"title": {"text": "requests running and waiting"}, "rangemode": "tozero", "showgrid": False},
        yaxis={"title": {"text": "TTFT p95, seconds"}, "type": "log", "automargin": True, "dtick": 1},
        hovermode="closest",
        legend={"orientation": "h", "y": -0.28, "x": 0},
        margin={"l": 52, "r": 12, "t": 6, "b": 44},
        showlegend=True,
    ),
    ({"x": "concurrency", "y": "ttft_p95"},),
    per=True,
)
