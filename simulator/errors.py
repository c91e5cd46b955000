"""What can be wrong with a simulation before it starts, or with an order given to it."""

from __future__ import annotations


class SimulatorError(ValueError):
    """Anything the simulator refuses; asking again unchanged is refused again."""


class SpecError(SimulatorError):
    """A fleet, engine or traffic description that cannot be: the message names the field."""


class TraceError(SimulatorError):
    """A trace file that cannot be replayed: the message names file, line and what is wrong."""


class FaultError(SimulatorError):
    """A fault that cannot be caused here: the message names what is allowed."""
