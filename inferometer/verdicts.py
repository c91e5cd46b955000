"""How the verdict on a recording is told: as one JSON object, or to a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from inferometer.saying import answer

if TYPE_CHECKING:
    from anomalies.finding import Finding
    from service.recordings.verdicts import Cost, Load, Spread, Verdict

_TIMINGS = (("time to first token", "ttft"), ("per output token", "tpot"), ("end to end", "e2e"))
_CURRENCY = "USD"
_UNKNOWN = "not measured"


def document(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as `--json` prints it; null = not measured (docs/import.md)."""
    return {
        "name": verdict.name,
        "window": _window(verdict),
        "requests": verdict.requests,
        "errors": verdict.errors,
        **{f"{name}_seconds": _plain(getattr(verdict, name)) for _, name in _TIMINGS},
        "goodput": _plain(verdict.goodput),
        "findings": _findings(verdict),
        "cost": _cost(verdict.cost),
        "load": _plain(verdict.load),
        "notes": list(verdict.notes),
    }


def _plain(value: Any) -> dict[str, Any] | None:
    return None if value is None else asdict(value)


def _cost(cost: Cost | None) -> dict[str, Any] | None:
    return None if cost is None else {"bill_nano": cost.bill_nano, "ledger_nano": dict(cost.ledger_nano)}


def _window(verdict: Verdict) -> dict[str, float] | None:
    if verdict.window_us is None:
        return None
    start, end = (at_us / 1e6 for at_us in verdict.window_us)
    return {"start": start, "end": end}


def _findings(verdict: Verdict) -> list[dict[str, Any]] | None:
    if verdict.findings is None:
        return None
    return [_finding(finding, verdict) for finding in verdict.findings]


def _finding(finding: Finding, verdict: Verdict) -> dict[str, Any]:
    return {
        "class": finding.class_id,
        "cause": finding.cause,
        "replicas": list(finding.replicas),
        "start": finding.start_us / 1e6,
        "end": _end_us(finding, verdict) / 1e6,
        "lasts": finding.end_us is None,
        "evidence": [
            {
                "signal": series.signal,
                "replica": series.replica,
                "points": [[at_us / 1e6, value] for at_us, value in series.points],
            }
            for series in finding.evidence
        ],
    }


def _end_us(finding: Finding, verdict: Verdict) -> int:
    """Return when a finding ended, or the end of the recording that it outlasts."""
    last = verdict.window_us[1] if verdict.window_us else finding.start_us
    return last if finding.end_us is None else finding.end_us


def show(verdict: Verdict, *, limits: Sequence[str], priced: bool) -> None:
    """Print a verdict for a person; `limits` and `priced` are what was asked for."""
    answer(verdict.name)
    _line("requests", _requests(verdict))
    if verdict.load is not None:
        _line("load", _load(verdict.load))
    for title, name in _TIMINGS:
        _line(title, _timing(getattr(verdict, name)))
    _line("goodput", _goodput(verdict, ", ".join(limits)))
    _line("cost", _bill(verdict.cost, priced=priced))
    _line("findings", _found(verdict))
    for finding in verdict.findings or ():
        answer(f"    {finding.class_id}, {_when(finding, verdict)}: {finding.cause}")
    for note in verdict.notes:
        answer(f"  note: {note}")
    answer("")


def _line(title: str, text: str) -> None:
    answer(f"  {title:<20}{text}")


def _requests(verdict: Verdict) -> str:
    if verdict.requests is None:
        return _UNKNOWN
    if verdict.errors is None:
        return f"{verdict.requests:,} arrived; how they ended is not recorded"
    return f"{verdict.requests:,}, of which {verdict.errors:,} failed ({_share(verdict.errors, verdict.requests)})"


def _load(load: Load) -> str:
    tokens = f"{load.prompt_tokens:,} prompt and {load.output_tokens:,} output tokens"
    return f"{tokens} asked for in {load.span_seconds:,.0f} s"


def _timing(spread: Spread | None) -> str:
    if spread is None:
        return _UNKNOWN
    return "   ".join(f"{name} {getattr(spread, name):9,.3f} s" for name in ("p50", "p95", "p99"))


def _goodput(verdict: Verdict, limits: str) -> str:
    if not limits:
        return "not asked for: give limits, such as --limit ttft=2s --limit tpot=100ms"
    if verdict.goodput is None:
        return _UNKNOWN
    good, total = verdict.goodput.good, verdict.goodput.total
    return f"{good:,} of {total:,} ({_share(good, total)}) kept {limits}"


def _bill(cost: Cost | None, *, priced: bool) -> str:
    if not priced:
        return "not asked for: give the price of a GPU-hour, such as --price A10=1.10"
    if cost is None:
        return _UNKNOWN
    return f"{cost.bill_nano / 1e9:,.9f} {_CURRENCY}: {_classes(cost.ledger_nano, cost.bill_nano)}"


def _classes(ledger_nano: Mapping[str, int], total_nano: int) -> str:
    largest = sorted(ledger_nano.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{klass} {_share(nano, total_nano)}" for klass, nano in largest)


def _found(verdict: Verdict) -> str:
    if verdict.findings is None:
        return _UNKNOWN
    return f"{len(verdict.findings)}" if verdict.findings else "none"


def _when(finding: Finding, verdict: Verdict) -> str:
    start, end = (
        datetime.fromtimestamp(at_us / 1e6, UTC) for at_us in (finding.start_us, _end_us(finding, verdict))
    )
    until = "the end of the recording" if finding.end_us is None else f"{end:%H:%M:%S}"
    return f"{start:%Y-%m-%d %H:%M:%S} UTC to {until}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}".replace("%", " %") if whole else "-"
