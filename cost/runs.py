"""What each request did over its life: how much work, and when (WCS-1 step 4, tier B and C)."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from telemetry.frame import Floats, Frame, Ints, Mask, Numbers
from telemetry.units import NANO


@dataclass(frozen=True, slots=True)
class Amounts:
    """Work of each request over its whole life; counts are tokens, a missing count is no work.

    `share` is the sum over its steps of 1 / batch size where the engine stated it
    (`share_stated`); elsewhere it is 0 and the sweep knows it. `steps` are of prefill.
    """

    prefill: Floats
    recomputed: Floats
    accepted: Floats
    rejected: Floats
    decode: Floats
    context: Floats
    cached: Floats
    prompt: Floats
    steps: Floats
    share: Floats
    share_stated: Mask

    def take(self, rows: Ints) -> Amounts:
        """Return the chosen requests."""
        return Amounts(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def of(cls, requests: Frame) -> Amounts:
        """Read the work off request columns.

        Decode steps are output tokens less the first, which the prefill yields; the KV cache
        read is the sum over them of prompt + tokens so far, unless the engine stated it.
        """
        prompt, cached, output = (_count(requests, f"{of}_tokens") for of in ("prompt", "cached", "output"))
        prefill = _stated(requests.numbers("prefill_tokens"), np.maximum(prompt - cached, 0))
        drafted = _count(requests, "draft_tokens")
        accepted = np.minimum(_count(requests, "accepted_draft_tokens"), drafted)
        decode = np.maximum(output - 1, 0)
        share = requests.numbers("step_share_nano")
        began = (prefill > 0) | requests.numbers("ttft_us").valid
        return cls(
            prefill=prefill,
            recomputed=_count(requests, "prefill_tokens_recomputed"),
            accepted=accepted,
            rejected=drafted - accepted,
            decode=decode,
            context=_stated(requests.numbers("kv_token_steps"), prompt * decode + decode * (decode + 1) / 2),
            cached=cached,
            prompt=prompt,
            steps=began.astype(np.float64),
            share=share.values / NANO,
            share_stated=share.valid,
        )


@dataclass(frozen=True, slots=True)
class Times:
    """When each request was asked, ran, gave its first token and ended, UTC microseconds.

    Where the start of running is not known (`ran_known` false), `ran_us` is when it was asked.
    """

    ran_us: Ints
    ran_known: Mask
    first_us: Ints
    ended_us: Ints

    def take(self, rows: Ints) -> Times:
        """Return the chosen requests."""
        return Times(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def of(cls, requests: Frame) -> Times:
        """Read the instants off request columns; without a first token it is the end."""
        started = requests.numbers("started_at_us").values
        ended = np.maximum(requests.numbers("ended_at_us").values, started + 1)
        run, queue, ttft = (requests.numbers(name) for name in ("run_us", "queue_us", "ttft_us"))
        ran = np.where(run.valid, ended - run.values, started + queue.values)
        ran = np.clip(ran, started, ended - 1)
        first = np.where(ttft.valid, started + ttft.values, ended)
        return cls(ran, run.valid | queue.valid, np.clip(first, ran, ended), ended)


def _count(requests: Frame, name: str) -> Floats:
    counts: Floats = requests.numbers(name).values.astype(np.float64)
    return counts


def _stated(column: Numbers, otherwise: Floats) -> Floats:
    return np.where(column.valid, column.values, otherwise)
