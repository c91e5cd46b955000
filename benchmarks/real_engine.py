"""Records of a real engine that nobody here wrote, beside what OpenAI's own client saw.

llama.cpp's HTTP server with a tiny model of random weights, made here (`make real-engine` puts it
into an environment of its own), our proxy before it, streamed requests by the `openai` client.
Every tenth client leaves after three chunks. Counted: records that are missing, doubled, in the
wrong state, or whose tokens are not what the engine told the client in `usage`: any of these is
exit code 1. Told besides: how far TTFT and duration in the records are from the client's stamps.

    python benchmarks/real_engine.py [--requests 500] [--workers 2] [--engine .real-engine/bin/python]
        [--out benchmarks/results/real_engine.json]
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import openai
from parts import fronts
from parts.fronts import Scene
from parts.inbox import Inbox
from parts.telling import tell

from telemetry.requests import Finish, RequestRecord, Status

ROOT = Path(__file__).resolve().parents[1]
SERVE = ROOT / "tests" / "real_engine" / "serve.py"
LONG = 256
"""Tokens of an answer whose client leaves: more than it waits for."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What one client does."""

    name: str
    tokens: int
    asks_usage: bool
    leaves: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What one client saw: microseconds from its call to the first content and to the end."""

    ttft_us: int
    e2e_us: int
    prompt_tokens: int | None
    output_tokens: int | None
    usage_chunks: int


@contextmanager
def engine(python: Path, home: Path) -> Iterator[int]:
    """Serve the model in its own environment; give the port."""
    command = [str(python), str(SERVE), str(home)]
    if not python.exists():
        raise SystemExit(f"{python}: there is no real engine; run `make real-engine`")
    with (home / "engine.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        ready = process.stdout.readline()
        if not ready.startswith("ready: "):
            raise SystemExit((home / "engine.log").read_text() or f"{python}: the engine did not start")
        yield urlsplit(ready.split()[1]).port
    finally:
        process.kill()
        process.wait()


def ask(client: openai.OpenAI, wish: Wish) -> Seen:
    """Stream one answer; leave after three chunks of content when the wish says so."""
    begun, first, pieces, usages = time.monotonic_ns(), 0, 0, []
    with client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": f"w{wish.tokens} w7 w9"}],
        stream=True,
        max_tokens=wish.tokens,
        stream_options={"include_usage": True} if wish.asks_usage else openai.omit,
        extra_headers={"X-Request-Id": wish.name},
        extra_body={"ignore_eos": True},
    ) as chunks:
        for chunk in chunks:
            if chunk.choices and chunk.choices[0].delta.content:
                first, pieces = first or time.monotonic_ns(), pieces + 1
            usages += [chunk.usage] if chunk.usage else []
            if wish.leaves and pieces == 3:
                break
    told = usages[-1] if usages else None
    return Seen(
        ttft_us=(first - begun) // 1000,
        e2e_us=(time.monotonic_ns() - begun) // 1000,
        prompt_tokens=told.prompt_tokens if told else None,
        output_tokens=told.completion_tokens if told else None,
        usage_chunks=len(usages),
    )


def wrongs(wish: Wish, seen: Seen, record: RequestRecord | None) -> Iterator[str]:
    """Yield what is wrong about a record, a word for each."""
    if record is None:
        yield "missing"
    elif wish.leaves:
        if (record.status, record.finish) != (Status.ABORTED, Finish.ABORT):
            yield "abort_not_seen"
    else:
        if (record.status, record.finish) != (Status.OK, Finish.LENGTH):
            yield "wrong_end"
        if record.output_tokens != wish.tokens or record.tokens_estimated:
            yield "wrong_output_tokens"
        told = (seen.prompt_tokens, seen.output_tokens)
        if wish.asks_usage and told != (record.prompt_tokens, record.output_tokens):
            yield "not_as_usage"
        if seen.usage_chunks != wish.asks_usage:
            yield "usage_chunk_wrong"


def quantile_ms(values_us: list[int], share: float) -> float:
    return round(sorted(values_us)[int(share * len(values_us))] / 1000, 3)


def run(wishes: list[Wish], python: Path, workers: int) -> dict[str, object]:
    """Ask everything; return what was counted and measured."""
    with tempfile.TemporaryDirectory() as folder, Inbox(Path(folder) / "r.sock") as inbox:
        home = Path(folder)
        with (
            engine(python, home) as port,
            fronts.proxy(Scene(None, port, inbox.path, home)) as front,
        ):
            with openai.OpenAI(
                base_url=f"http://127.0.0.1:{front.port}/v1", api_key="k", max_retries=0
            ) as client:
                ask(client, Wish("warm-up", 4, asks_usage=False, leaves=False))
                begun = time.monotonic()
                with ThreadPoolExecutor(workers) as pool:
                    seen = list(pool.map(lambda wish: ask(client, wish), wishes))
                seconds = time.monotonic() - begun
            inbox.wait_for(wish.name for wish in wishes)
    pairs = list(zip(wishes, seen, strict=True))
    wrong = Counter(word for wish, one in pairs for word in wrongs(wish, one, inbox.records.get(wish.name)))
    ended = [(one, inbox.records[wish.name]) for wish, one in pairs if not wish.leaves]
    first = [abs(one.ttft_us - (record.ttft_us or 0)) for one, record in ended]
    whole = [abs(one.e2e_us - record.e2e_us) for one, record in ended]
    return {
        "requests": len(wishes),
        "records": len(inbox.records) - 1,
        "aborted": sum(record.status is Status.ABORTED for record in inbox.records.values()),
        "wrong": dict(wrong),
        "ttft_off_client_p50_ms": quantile_ms(first, 0.5),
        "ttft_off_client_p99_ms": quantile_ms(first, 0.99),
        "e2e_off_client_p50_ms": quantile_ms(whole, 0.5),
        "e2e_off_client_p99_ms": quantile_ms(whole, 0.99),
        "seconds": round(seconds, 1),
    }


def main() -> int:
    """Run, tell, and fail on a wrong count."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engine", type=Path, default=ROOT / ".real-engine" / "bin" / "python")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rng = random.Random(20261121)
    wishes = [
        Wish(
            f"r{number}",
            LONG if number % 10 == 9 else rng.randrange(4, 33),
            asks_usage=number % 2 == 0,
            leaves=number % 10 == 9,
        )
        for number in range(given.requests)
    ]
    told = run(wishes, given.engine, given.workers)
    tell(told, given.out)
    return 1 if told["wrong"] or told["records"] != told["requests"] else 0


if __name__ == "__main__":
    sys.exit(main())
