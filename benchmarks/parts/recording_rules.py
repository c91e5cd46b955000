"""Debian's Prometheus with some of the objectives as recording rules: what one evaluation costs it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

DAYS = 30
STEP_S = 60
A_MINUTE = 60
"""Requests a minute of each objective; one in a thousand is bad."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one evaluation of an objective's rules took, and how long its data took to make."""

    objectives: int
    windows: int
    ms_an_objective: float
    filled_in_s: float


def measured(folder: Path, objectives: int, windows: Sequence[str]) -> Measured:
    """Return the milliseconds of one evaluation of all rules, by Prometheus' own account.

    Its head is filled by `promtool tsdb create-blocks-from openmetrics`: good and total of each
    objective every minute for 30 days. The rules are the error ratio over each window.
    """
    now_s = int(time.time()) // STEP_S * STEP_S
    began = time.monotonic()
    _make_blocks(folder, objectives, now_s)
    filled_s = time.monotonic() - began
    (folder / "rules.yml").write_text(json.dumps({"groups": list(_groups(objectives, windows))}))
    (folder / "prometheus.yml").write_text("global: {evaluation_interval: 1h}\nrule_files: [rules.yml]\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        "prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=90d", "--log.level=error",
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            spent_s = _evaluated(f"http://127.0.0.1:{port}", objectives, now_s)
        finally:
            child.terminate()
    return Measured(objectives, len(windows), round(spent_s / objectives * 1e3, 3), round(filled_s, 1))


def _make_blocks(folder: Path, objectives: int, now_s: int) -> None:
    """Write the series a day at a time: promtool holds a whole file in memory."""
    for day in range(DAYS):
        text = folder / "day.txt"
        with text.open("w") as file:
            file.writelines(_openmetrics(objectives, now_s - (DAYS - day) * 86_400))
        command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "data")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)
        text.unlink()


def _openmetrics(objectives: int, from_s: int) -> Iterator[str]:
    minutes = range(86_400 // STEP_S)
    for name, share in (("good", 0.999), ("total", 1.0)):
        yield f"# TYPE {name} counter\n"
        for number in range(objectives):
            label = f'{name}_total{{slo="{number}"}}'
            yield "".join(
                f"{label} {int((from_s // STEP_S + minute) * A_MINUTE * share)} {from_s + minute * STEP_S}\n"
                for minute in minutes
            )
    yield "# EOF\n"


def _groups(objectives: int, windows: Sequence[str]) -> Iterator[dict[str, object]]:
    for number in range(objectives):
        rules = [
            {
                "record": f"slo:errors:ratio_{window}",
                "expr": f'1 - increase(good_total{{slo="{number}"}}[{window}]) '
                f'/ increase(total_total{{slo="{number}"}}[{window}])',
                "labels": {"slo": str(number)},
            }
            for window in windows
        ]
        yield {"name": f"slo-{number}", "rules": rules}


def _evaluated(url: str, objectives: int, now_s: int) -> float:
    """Return the seconds that one round of every rule took, asked as queries at the end of the data.

    The rule groups spread their first round over the hour of their interval, so each rule's
    expression is asked once by itself, as the rule manager would; the sum is Prometheus' own
    `evalTotalTime` of each query.
    """
    deadline = time.monotonic() + 120
    rules = []
    while len(rules) < objectives:
        if time.monotonic() > deadline:
            raise TimeoutError("Prometheus did not load the rules within 120 s")
        time.sleep(0.5)
        try:
            rules = _asked(f"{url}/api/v1/rules")["data"]["groups"]
        except OSError:
            continue
    spent = 0.0
    for group in rules:
        for rule in group["rules"]:
            question = urllib.request.quote(rule["query"])
            found = _asked(f"{url}/api/v1/query?stats=all&time={now_s - STEP_S}&query={question}")
            if not found["data"]["result"]:
                raise ValueError(f"{rule['query']}: no answer")
            spent += found["data"]["stats"]["timings"]["evalTotalTime"]
    return spent


def _asked(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def available() -> bool:
    """Tell whether Prometheus and its tool are installed."""
    return all(os.access(Path("/usr/bin") / name, os.X_OK) for name in ("prometheus", "promtool"))
