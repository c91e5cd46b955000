"""Recorded streams at their own pace through proxy and middleware: how far the stamps are from the writes.

The five streams of the shared recordings that have arrival times are told by a scripted engine; the
instants of its writes are put through our own reading, and give what a record should say. Compared:
every gap, and first token and end as seen from the first byte. p99 of all, median of the repeats.

    python benchmarks/timed_replay.py [--repeats 5] [--shared ../shared] [--out benchmarks/results/timed_replay.json]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from parts import fronts
from parts.fronts import Scene
from parts.inbox import Inbox
from parts.streams import Load, Replay, clients
from parts.telling import tell

from collector.requests.bodies import EventBody
from collector.requests.stamps import AnswerMeter

ROOT = Path(__file__).resolve().parents[1]
ONE = Load(streams=1, chunks=0, rate=1.0)


def recording(path: Path, log: Path) -> Replay:
    """Return a recorded stream as a script."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return Replay(tuple((line["t"], line["raw"].encode()) for line in lines), log)


def expected(script: Replay) -> AnswerMeter:
    """Return what a perfect record of the last answer holds, of the instants it was written at."""
    meter = AnswerMeter()
    body = EventBody(meter, strip=False)
    for at_us, (_, data) in zip(json.loads(script.log.read_text()), script.writes, strict=True):
        body.take(data, at_us)
    return meter


def off_us(inbox: Inbox, name: str, meter: AnswerMeter) -> Iterator[int]:
    """Yield how far each stamp of a record is from the writes, in microseconds."""
    record = inbox.records[name]
    gaps = inbox.gaps[name].gaps_us if name in inbox.gaps else ()
    pairs = list(zip(gaps, meter.gaps_us or (), strict=True))
    if record.ttft_us is not None:
        pairs.append((record.ttft_us - record.first_byte_us, meter.first_content_us - meter.first_byte_us))
    pairs.append((record.e2e_us - record.first_byte_us, meter.last_byte_us - meter.first_byte_us))
    yield from (abs(ours - written) for ours, written in pairs)


def replay(path: Path, home: Path, inbox: Inbox, repeats: int) -> dict[str, list[list[int]]]:
    """Return for each route how far the stamps were, a list for each repeat."""
    script = recording(path, home / "writes.json")
    told: dict[str, list[list[int]]] = {"proxy": [], "middleware": []}
    with fronts.direct(Scene(script, 0, inbox.path, home)) as behind:
        scene = Scene(script, behind.port, inbox.path, home)
        with fronts.proxy(scene) as proxy, fronts.middleware(scene) as inside:
            for repeat in range(repeats):
                for route, front in (("proxy", proxy), ("middleware", inside)):
                    prefix = f"{path.stem}-{route}-{repeat}"
                    script.log.unlink(missing_ok=True)
                    clients(ONE, front.port, prefix)
                    inbox.wait_for([f"{prefix}-0"])
                    inbox.settle()
                    told[route].append(list(off_us(inbox, f"{prefix}-0", expected(script))))
    return told


def main() -> None:
    """Run and tell."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--out", type=Path)
    wish = parser.parse_args()
    paths = sorted((wish.shared / "fixtures" / "engines").glob("*.timed.jsonl"))
    with tempfile.TemporaryDirectory() as folder, Inbox(Path(folder) / "r.sock") as inbox:
        runs = [replay(path, Path(folder), inbox, wish.repeats) for path in paths]
    told: dict[str, object] = {"streams": len(paths)}
    for route in ("proxy", "middleware"):
        stamps = [sorted(off for run in runs for off in run[route][n]) for n in range(wish.repeats)]
        p99s = [each[min(len(each) - 1, int(0.99 * len(each)))] / 1000 for each in stamps]
        told[route] = {"stamps": len(stamps[0]), "off_p99_ms": round(median(p99s), 3), "p99_ms_of_runs": p99s}
    tell(told, wish.out)


if __name__ == "__main__":
    main()
