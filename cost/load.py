"""Weights of requests in busy pieces of one instance's time, from their spans (WCS-1 step 4).

The fixed part of a step is shared by who was in the batch (the exact Shapley value of an
affine step time), the marginal parts go to whom they belong. Modelled work is scaled to the
piece's own length, so weights are nanoseconds of GPU time and only ratios of coefficients
matter. Against Monte-Carlo Shapley of a simulated engine: median error under 10 %, p95 under
25 % from request events only (6.6 % and 20 % with the default coefficients, 4.2 % and 14 %
fitted).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cost.classes import CODE, CostClass, Tier
from cost.demand import Parties, Shares, pairs
from cost.fleet import Coefficients, Instance
from cost.occupancy import Occupancy
from cost.runs import Amounts, Times
from telemetry.frame import Floats, Ints, Mask
from telemetry.units import NANOS_PER_MICRO


@dataclass(frozen=True, slots=True)
class _Overlap:
    """Parts of requests' lives inside pieces: fractions of run, prefill and decode, KV ramp."""

    piece: Ints
    span: Ints
    run: Floats
    prefill: Floats
    decode: Floats
    context: Floats
    batch_share: Floats
    lone_share: Floats


@dataclass(frozen=True, slots=True)
class _Phase:
    """A stretch of each request's life; never empty."""

    from_us: Ints
    to_us: Ints

    def clipped(self, low_us: Ints, high_us: Ints, span: Ints) -> tuple[Floats, Floats]:
        """Return which fraction of the phase has passed by each end of [low, high)."""
        start, length = self.from_us[span], (self.to_us - self.from_us)[span]
        low, high = (np.clip((at - start) / length, 0.0, 1.0) for at in (low_us, high_us))
        return low, high


class RunLoad:
    """The requests of one instance. Built by `cost.requests.Requests.on`."""

    divisible = True

    def __init__(
        self, instance: Instance, parties: Parties, *, klass: Ints, times: Times, amounts: Amounts
    ) -> None:
        self.parties = parties
        stated = bool(len(klass)) and bool(amounts.share_stated.all())
        self.tier = Tier.ENGINE if stated else Tier.EVENTS
        self._instance, self._klass, self._amounts = instance, klass, amounts
        ran = _began(times, amounts, instance.coefficients)
        whole = _Phase(ran, times.ended_us)
        two = (ran < times.first_us) & (times.first_us < times.ended_us)
        self._run = whole
        self._prefill = _Phase(ran, np.where(two, times.first_us, times.ended_us))
        self._decode = _Phase(np.where(two, times.first_us, ran), times.ended_us)
        self._occupancy = Occupancy.of(ran, times.ended_us)

    def edges(self) -> Ints:
        """Return when the batch became empty or stopped being so, UTC microseconds."""
        return self._occupancy.edges()

    def busy(self, edges_us: Ints) -> Mask:
        """Tell for each piece between edges whether at least one request ran."""
        return self._occupancy.busy_at(edges_us[:-1])

    def shares(self, edges_us: Ints, busy: Mask) -> Shares:
        """Return the weights of the busy pieces, O(pairs of piece and request)."""
        over = self._overlap(edges_us, busy)
        fixed, marginal, preempt, spec = self._modelled(over)
        total = np.bincount(over.piece, fixed + marginal + preempt + spec, minlength=len(busy))
        length_ns = np.diff(edges_us) * float(NANOS_PER_MICRO)
        scale = np.divide(length_ns, total, out=np.zeros(len(busy)), where=total > 0)[over.piece]
        lone = fixed * np.divide(over.lone_share, over.batch_share, out=np.ones_like(fixed), where=fixed > 0)
        parts = (
            (self._klass[over.span], fixed + marginal, lone + marginal),
            (np.full(len(over.span), CODE[CostClass.WASTE_PREEMPT]), preempt, preempt),
            (np.full(len(over.span), CODE[CostClass.WASTE_SPEC]), spec, spec),
        )
        return self._gathered(over, parts, scale)

    def _gathered(
        self, over: _Overlap, parts: tuple[tuple[Ints, Floats, Floats], ...], scale: Floats
    ) -> Shares:
        kept = [np.ones(len(over.span), dtype=np.bool_), parts[1][1] > 0, parts[2][1] > 0]
        piece = np.concatenate([over.piece[mask] for mask in kept])
        span = np.concatenate([over.span[mask] for mask in kept])
        klass = np.concatenate([part[0][mask] for part, mask in zip(parts, kept, strict=True)])
        weight, lone = (
            np.concatenate([(part[at] * scale)[mask] for part, mask in zip(parts, kept, strict=True)])
            for at in (1, 2)
        )
        order = np.lexsort((klass, span, piece))
        headroom = np.rint(lone[order]).astype(np.int64) if self._instance.reference_batch else None
        whole = np.rint(weight[order]).astype(np.int64)
        return Shares(piece[order], span[order], klass[order], whole, headroom)

    def _modelled(self, over: _Overlap) -> tuple[Floats, Floats, Floats, Floats]:
        work, cost, of = self._amounts, self._instance.coefficients, over.span
        fixed = cost.step * over.batch_share
        marginal = (
            cost.prefill * work.prefill[of] * over.prefill
            + cost.cached * work.cached[of] * over.prefill
            + cost.verify * work.accepted[of] * over.decode
            + cost.decode * work.decode[of] * over.decode
            + cost.context * work.context[of] * over.context
        )
        preempt = cost.prefill * work.recomputed[of] * over.run
        spec = cost.verify * work.rejected[of] * over.decode
        return fixed, marginal, preempt, spec

    def _overlap(self, edges_us: Ints, busy: Mask) -> _Overlap:
        piece, span = pairs(edges_us, self._run.from_us, self._run.to_us)
        piece, span = piece[busy[piece]], span[busy[piece]]
        low = np.maximum(edges_us[piece], self._run.from_us[span])
        high = np.minimum(edges_us[piece + 1], self._run.to_us[span])
        run, prefill, decode = (
            phase.clipped(low, high, span) for phase in (self._run, self._prefill, self._decode)
        )
        batch = self._steps_share(low, high, span, at_least=1)
        lone = self._steps_share(low, high, span, at_least=self._instance.reference_batch or 1)
        stated = self._amounts.share_stated[span]
        told = self._amounts.share[span] * (run[1] - run[0])
        kept = np.divide(lone, batch, out=np.ones_like(batch), where=batch > 0)
        return _Overlap(
            piece,
            span,
            run=run[1] - run[0],
            prefill=prefill[1] - prefill[0],
            decode=decode[1] - decode[0],
            context=self._ramp(decode[1], span) - self._ramp(decode[0], span),
            batch_share=np.where(stated, told, batch),
            lone_share=np.where(stated, told * kept, lone),
        )

    def _steps_share(self, low: Ints, high: Ints, span: Ints, *, at_least: int) -> Floats:
        """Return the sum of 1 / batch size over the steps each request spent in [low, high)."""
        shares = np.zeros(len(span))
        for phase, steps in ((self._prefill, self._amounts.steps), (self._decode, self._amounts.decode)):
            start, end = phase.from_us[span], phase.to_us[span]
            until, since = (
                self._occupancy.share_until(np.clip(at, start, end), at_least=at_least) for at in (high, low)
            )
            shares += steps[span] * (until - since) / (end - start)
        return shares

    def _ramp(self, fraction: Floats, span: Ints) -> Floats:
        """Return which fraction of the KV reads is done when `fraction` of the tokens are out."""
        prompt, half = self._amounts.prompt[span], self._amounts.decode[span] / 2
        whole = prompt + half
        done = prompt * fraction + half * fraction**2
        return np.divide(done, whole, out=fraction.copy(), where=whole > 0)


def _began(times: Times, amounts: Amounts, cost: Coefficients) -> Ints:
    """Return when each request began to run.

    Where no one stated it, its own modelled work before its first token, so that a wait in the
    queue is not taken for work. An answer that came whole had all its tokens made by then.
    """
    whole = times.first_us >= times.ended_us
    decode_ns = (cost.step + cost.decode) * amounts.decode + cost.context * amounts.context
    modelled_ns = cost.step + cost.prefill * amounts.prefill + np.where(whole, decode_ns, 0.0)
    waited_at_most_us = times.first_us - times.ran_us
    modelled_us = np.minimum(np.ceil(modelled_ns / NANOS_PER_MICRO), waited_at_most_us).astype(np.int64)
    latest = np.minimum(times.first_us - modelled_us, times.ended_us - 1)
    return np.where(times.ran_known, times.ran_us, np.maximum(times.ran_us, latest))
