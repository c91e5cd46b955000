"""`inferometer probe`: asks an engine the same thing again and again, and tells whether it says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inferometer.saying import Failure, answer, say, telling


def probe(
    url: Annotated[
        str, typer.Argument(help="OpenAI-compatible server, http://host:port.", show_default=False)
    ],
    model: Annotated[str, typer.Option(help="Model to ask, as the server names it.", show_default=False)],
    replica: Annotated[
        str | None, typer.Option(help="Its name in records.", show_default="host:port of the URL")
    ] = None,
    every_seconds: Annotated[float, typer.Option(help="From one question to the next.", min=0.0)] = 60.0,
    times: Annotated[
        int | None, typer.Option(help="Questions to ask.", min=2, show_default="until stopped")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest answer.", min=1)] = 200,
    prompt_file: Annotated[Path | None, typer.Option(help="What to ask, instead of our own.")] = None,
    key_file: Annotated[Path | None, typer.Option(help="File with the server's bearer token.")] = None,
    socket: Annotated[Path, typer.Option(help="The agent's socket; it need not be there.")] = Path(
        "inferometer-agent/records.sock"
    ),
) -> None:
    """Check that an engine is deterministic: one prompt at temperature 0, every answer compared with the first.

    Records go to the agent as synthetic requests, for objectives on `determinism`; no text does.
    Begin it again after a deployment, which may answer anew. Exits with 0 whatever it finds.
    """
    import contextlib
    import time
    from urllib.parse import urlsplit

    from collector.checks import url as checked_url
    from collector.probes.determinism import PROMPT, DeterminismProbe, Target
    from collector.requests.socket import RecordSender

    try:
        url = checked_url(url)
    except ValueError as error:
        raise Failure(f"probe {url!r}: {error}", code=2) from error
    with telling(OSError, UnicodeDecodeError):
        target = Target(
            url=url,
            model=model,
            prompt=PROMPT if prompt_file is None else prompt_file.read_text(encoding="utf-8"),
            max_tokens=max_tokens,
            replica=replica or urlsplit(url).netloc or None,
            key=None if key_file is None else key_file.read_text(encoding="utf-8").strip(),
        )
    asked, prober, sender = 0, DeterminismProbe(target), RecordSender(socket)
    with contextlib.suppress(KeyboardInterrupt):
        while times is None or asked < times:
            if asked:
                time.sleep(every_seconds)
            record = prober.ask()
            sender.send(record)
            asked += 1
            if record.error_class:
                say(f"answer {asked}: {record.error_class}")
    sender.close()
    tally = prober.tally
    answer(
        f"{asked} answers: {tally.same} the same as the first, {tally.other} other, "
        f"{tally.distinct} distinct, {tally.failed} failed; {sender.sent} told to the agent"
    )
