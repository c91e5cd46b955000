"""Latency against concurrency: a mark for each minute and pool; the bend is the pool's limit."""

import plotly.graph_objects as go

from dashboards.figures.template import COLORWAY, SECONDS, Template, figure

_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x", "star", "pentagon")

TEMPLATE = Template(
    figure(
        [
            go.Scatter(
                mode="markers",
                hovertemplate="%{x:.1f} requests at once, TTFT p95 %{y:.3~s}s<extra>%{fullData.name}</extra>",
            )
        ],
        "",
        xaxis={"title": {"text": "requests at once (mean)"}, "rangemode": "tozero", "showgrid": False},
        yaxis={
            "title": {"text": "TTFT p95"},
            "type": "log",
            "automargin": True,
            # 1, 2 and 5 of each decade: on a short range all nine would be labelled, one over the other.
            "dtick": "D2",
            **SECONDS,
        },
        hovermode="closest",
        margin={"l": 56, "r": 14, "t": 8, "b": 44},
    ),
    ({"x": "concurrency", "y": "ttft_p95"},),
    per=True,
    cycle=tuple(
        {"marker": {"size": 8, "opacity": 0.8, "symbol": symbol, "color": color}}
        for symbol, color in zip(_SYMBOLS, COLORWAY, strict=True)
    ),
)
