"""The proof of a finding: queue, tokens and GPU activity of its replicas on one time axis."""

from dashboards.figures.template import BLUE, GREEN, GREY, VERMILLION, Template, figure, line

_AXES = {
    f"yaxis{suffix}": {"title": {"text": title}, "domain": domain, "rangemode": "tozero", "automargin": True}
    for suffix, title, domain in (
        ("", "requests", [0.70, 1]),
        ("2", "tokens/s", [0.36, 0.64]),
        ("3", "share", [0, 0.30]),
    )
}

TEMPLATE = Template(
    figure(
        [
            line("waiting", VERMILLION),
            line("running", GREY),
            line("tokens per second", BLUE, yaxis="y2"),
            line("SM activity", GREEN, yaxis="y3"),
            line("KV usage", GREY, yaxis="y3", line={"dash": "dash"}),
        ],
        "requests",
        **_AXES,
        xaxis={"type": "date", "showgrid": False, "anchor": "y3"},
    ),
    tuple({"x": "at", "y": name} for name in ("waiting", "running", "tokens", "sm", "kv")),
)
