"""Who should be heard and is not: silent agents, missing GPUs, wrong clocks, twins, as conditions.

An agent that was ever heard is expected until it says that it stops or its token is revoked; a
GPU until it is retired. Such a condition ends by being heard again, or by an answer that ends
the expectation: never by absence. While an agent is silent nothing is known of its GPUs, and
after a start of ours nothing of anybody until there was time to be heard.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from alerts.state import Alert
from service.counting.unheard import Unheard
from service.fleet import hardware, shortage
from service.fleet.seen import Agent, Seen
from service.store.fleet import ExpectedGpu
from service.store.state import State
from telemetry.condition import Condition, Holds, Severity
from telemetry.frame import Frame
from telemetry.units import MICROS_PER_SECOND

AGENT_SILENT: Final = "agent_silent"
GPU_MISSING: Final = "gpu_missing"
AGENT_CLOCK: Final = "agent_clock"
AGENT_DOUBLE: Final = "agent_double"
CLOCK_OFF_US: Final = 30 * MICROS_PER_SECOND
"""A clock that is further off puts facts into wrong minutes; slow delivery is never so far off."""


@dataclass(frozen=True, slots=True)
class _Told:
    """The newest sample of a GPU: when, by its host's clock, and whether its driver answered."""

    at_us: int
    up: bool


class Presence:
    """Judges who is there. Belongs to the evaluator's thread."""

    def __init__(self, seen: Seen, state: State, *, lag_us: int, clock: Callable[[], int]) -> None:
        """`lag_us` is how long a silence is nothing to speak of."""
        self._seen, self._state, self._lag_us, self._started_us = seen, state, lag_us, clock()
        self._told: dict[str, _Told] = {}
        self.unheard: tuple[Unheard, ...] = ()
        """The expected GPUs of which nothing was heard for longer than the lag, when last judged."""

    def judge(
        self, gpu_samples: Frame, events: Frame, standing: Sequence[Alert], now_us: int
    ) -> list[Condition]:
        """Return the conditions of every agent and expected GPU. `standing` are the alerts that are open.

        `gpu_samples` and `events` are those of the last minutes. Two queries.
        """
        self._told |= _newest(gpu_samples)
        agents = self._seen.agents()
        valid = {token.name for token in self._state.tokens.listed() if token.revoked_at_us is None}
        expected = self._state.fleet.expected()
        heard = [agent for agent in agents if now_us - agent.seen_us <= self._lag_us]
        silent = {agent.name: self._silent(agent, valid, now_us) for agent in agents}
        gone = [agent for agent in agents if silent[agent.name] is Holds.YES]
        self.unheard = tuple(self._unheard(expected, heard, gone, now_us))
        return [
            *(_silence(agent, silent[agent.name], now_us) for agent in agents),
            *(_clock(agent) for agent in heard),
            *(self._double(agent, now_us) for agent in heard),
            *self._gpus(expected, heard, now_us),
            *_retired(expected, standing),
            *shortage.conditions(events, _hosts(agents, valid), standing),
            *hardware.conditions(gpu_samples, events, {gpu.gpu_uuid for gpu in expected}, standing),
        ]

    def _silent(self, agent: Agent, valid: Collection[str], now_us: int) -> Holds:
        """Tell whether an agent that should be heard is not. One that ended in order is not expected."""
        if agent.stopped or agent.name not in valid or now_us - agent.seen_us <= self._lag_us:
            return Holds.NO
        return Holds.UNKNOWN if now_us - self._started_us < self._lag_us else Holds.YES

    def _double(self, agent: Agent, now_us: int) -> Condition:
        """Tell whether two agents bear this name; it ends when one alone was heard for the lag."""
        doubled = agent.double_us is not None and now_us - agent.double_us <= self._lag_us
        return Condition(
            name=AGENT_DOUBLE,
            labels={"agent": agent.name},
            severity=Severity.TICKET,
            holds=Holds.YES if doubled else Holds.NO,
            annotations={
                "summary": f"Two agents deliver as {agent.name}, one of them on {agent.host}: what both read "
                "counts twice. Stop one, or give it a token of its own.",
                "host": agent.host,
            },
        )

    def _unheard(
        self, expected: Sequence[ExpectedGpu], heard: Sequence[Agent], gone: Sequence[Agent], now_us: int
    ) -> Iterator[Unheard]:
        """Yield the GPUs that a heard agent no longer tells of, and those of an agent that fell silent."""
        back_us = {agent.host: agent.back_us for agent in heard}
        seen_us = {agent.host: agent.seen_us for agent in gone if agent.host not in back_us}
        for gpu in expected:
            told = self._told.get(gpu.gpu_uuid)
            last_us = max(self._started_us, 0 if told is None else told.at_us)
            if gpu.host in seen_us:
                yield Unheard(gpu, max(last_us, seen_us[gpu.host]))
            elif back_us.get(gpu.host) is not None:
                since_us = max(last_us, back_us[gpu.host] or 0)
                if now_us - since_us > self._lag_us:
                    yield Unheard(gpu, since_us)

    def _gpus(
        self, expected: Sequence[ExpectedGpu], agents: Sequence[Agent], now_us: int
    ) -> Iterator[Condition]:
        by_host: dict[str, Agent] = {}
        for agent in sorted(agents, key=lambda agent: agent.seen_us):
            if not agent.stopped:
                by_host[agent.host] = agent
        for gpu in expected:
            holds, why = self._gpu(gpu, by_host.get(gpu.host), now_us)
            model = f" ({gpu.gpu_model})" if gpu.gpu_model else ""
            yield Condition(
                name=GPU_MISSING,
                labels={"gpu_uuid": gpu.gpu_uuid, "host": gpu.host},
                severity=Severity.TICKET,
                holds=holds,
                annotations={"summary": f"GPU {gpu.gpu_uuid}{model} on {gpu.host} {why}."},
            )

    def _gpu(self, gpu: ExpectedGpu, agent: Agent | None, now_us: int) -> tuple[Holds, str]:
        if agent is None or agent.back_us is None:
            return Holds.UNKNOWN, "is not known: its agent is not heard"
        told = self._told.get(gpu.gpu_uuid)
        if told is not None and now_us + (agent.clock_offset_us or 0) - told.at_us <= self._lag_us:
            return (Holds.NO, "is there") if told.up else (Holds.YES, "is lost: its driver does not answer")
        if now_us - max(self._started_us, agent.back_us) < self._lag_us:
            return Holds.UNKNOWN, "has not been heard yet"
        return Holds.YES, "is missing: its agent is heard, and no longer tells of it"


def _hosts(agents: Sequence[Agent], valid: Collection[str]) -> set[str]:
    """Return the hosts whose agent should be heard; `valid` names the agents with a token."""
    return {agent.host for agent in agents if not agent.stopped and agent.name in valid}


def _newest(gpu_samples: Frame) -> dict[str, _Told]:
    """Return the newest sample of each GPU in a frame."""
    uuids, at_us = gpu_samples.texts("gpu_uuid"), gpu_samples.numbers("at_us").values
    newest_first = np.argsort(at_us, kind="stable")[::-1]
    codes, first = np.unique(uuids.codes[newest_first], return_index=True)
    rows = newest_first[first]
    up = gpu_samples.numbers("up").values[rows]
    return {
        uuids.words[code]: _Told(int(at), bool(answers))
        for code, at, answers in zip(codes, at_us[rows], up, strict=True)
        if code >= 0
    }


def _silence(agent: Agent, silent: Holds, now_us: int) -> Condition:
    return Condition(
        name=AGENT_SILENT,
        labels={"agent": agent.name},
        severity=Severity.TICKET,
        holds=silent,
        since_us=agent.seen_us,
        annotations={
            "summary": f"Agent {agent.name} on {agent.host} has not been heard for "
            f"{(now_us - agent.seen_us) // MICROS_PER_SECOND} s: what runs there is not measured.",
            "host": agent.host,
        },
    )


def _clock(agent: Agent) -> Condition:
    offset_us = agent.clock_offset_us or 0
    sooner = "ahead of" if offset_us > 0 else "behind"
    return Condition(
        name=AGENT_CLOCK,
        labels={"agent": agent.name},
        severity=Severity.TICKET,
        holds=Holds.YES if abs(offset_us) > CLOCK_OFF_US else Holds.NO,
        annotations={
            "summary": f"The clock of {agent.host} is {abs(offset_us) // MICROS_PER_SECOND} s {sooner} ours: "
            "its facts count in wrong minutes.",
            "host": agent.host,
        },
    )


def _retired(expected: Sequence[ExpectedGpu], standing: Sequence[Alert]) -> Iterator[Condition]:
    """Yield the end of every open alert about a GPU that nobody expects any more."""
    wanted = {gpu.gpu_uuid for gpu in expected}
    for alert in standing:
        if alert.name == GPU_MISSING and alert.labels["gpu_uuid"] not in wanted:
            yield Condition(name=alert.name, labels=alert.labels, severity=alert.severity, holds=Holds.NO)
