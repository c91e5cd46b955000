"""The door to the NVIDIA driver: one session for the process, and its errors.

Guarantees: every driver error is a `DriverError` with operation, cause and hint; a GPU's handle
is never used across a new initialisation; a call that hangs holds up nobody but its own GPU.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pynvml

ABSENT: Final = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_NO_PERMISSION,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        pynvml.NVML_ERROR_NO_DATA,
    }
)
"""Answers that mean "this GPU or driver does not tell": the value is None, nothing is wrong."""

LOST: Final = frozenset(
    {
        pynvml.NVML_ERROR_GPU_IS_LOST,
        pynvml.NVML_ERROR_RESET_REQUIRED,
        pynvml.NVML_ERROR_NOT_FOUND,
        pynvml.NVML_ERROR_GPU_NOT_FOUND,
    }
)
"""Answers that mean the GPU is gone while the driver lives."""

RENEW: Final = frozenset(
    {
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    }
)
"""Answers that mean this process must initialise the driver anew."""

GONE: Final = LOST | RENEW
"""Answers after which nothing can be read from a GPU until the driver finds it again."""

_HINTS: Final = {
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "load the driver (nvidia-smi must work on this host)",
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "install the NVIDIA driver, or leave gpus off",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the driver was upgraded under us; reboot or reload it",
    pynvml.NVML_ERROR_NO_PERMISSION: "give the agent access to /dev/nvidia*",
    pynvml.NVML_ERROR_GPU_IS_LOST: "it fell off the bus; look for an Xid in the kernel log",
    pynvml.NVML_ERROR_RESET_REQUIRED: "reset the GPU",
    pynvml.NVML_ERROR_TIMEOUT: "the driver did not answer in time",
}


class DriverError(Exception):
    """The driver refused a call; `code` is NVML's return code."""

    def __init__(self, operation: str, code: int) -> None:
        hint = _HINTS.get(code, "see `inferometer doctor`")
        super().__init__(f"{operation}: {pynvml.NVMLError(code)} (NVML {code}); {hint}")
        self.code = code


class DriverBusy(Exception):  # noqa: N818 - a state that passes, not a fault
    """The driver is being initialised anew, or a hanging call keeps it from being so."""


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a pynvml function returns; raises `DriverError` naming it."""
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        raise DriverError(function.__name__, error.value) from None


def ask(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a pynvml function returns, None where GPU or driver do not tell (`ABSENT`)."""
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        if error.value in ABSENT:
            return None
        raise DriverError(function.__name__, error.value) from None


class Session:
    """One initialisation of the driver, shared by the sources of all GPUs.

    `generation` counts initialisations: a handle belongs to one. Thread-safe. `use` never waits
    for another GPU's call; `renew` runs only while no call is under way, so that the driver's
    library is never shut down under one.
    """

    def __init__(self, *, patience_seconds: float = 0.5) -> None:
        self.generation = 0
        self._patience = patience_seconds
        self._turn = threading.Condition()
        self._calls_under_way = 0
        self._renewing = False

    @contextmanager
    def use(self) -> Iterator[int]:
        """Hold the session for the length of some calls; yields the generation.

        Raises `DriverBusy` when a renewal has not ended in time, `DriverError` when the driver
        was never there.
        """
        with self._turn:
            if not self._turn.wait_for(lambda: not self._renewing, self._patience):
                raise DriverBusy("use the driver: it is being initialised and does not answer")
            self._calls_under_way += 1
            generation = self.generation
        try:
            if not generation:
                raise DriverError("nvmlInit", pynvml.NVML_ERROR_UNINITIALIZED)
            yield generation
        finally:
            with self._turn:
                self._calls_under_way -= 1
                self._turn.notify_all()

    def renew(self, seen: int) -> None:
        """Initialise the driver (again), unless somebody has since generation `seen`.

        Raises `DriverError` when there is no driver, `DriverBusy` while a call hangs.
        """
        with self._turn:
            if self.generation != seen:
                return
            if self._renewing or not self._turn.wait_for(lambda: not self._calls_under_way, self._patience):
                raise DriverBusy("initialise the driver: a call hangs in it")
            self._renewing = True
        try:
            self._initialise()
        finally:
            with self._turn:
                self._renewing = False
                self._turn.notify_all()

    def _initialise(self) -> None:
        if self.generation:
            # Refused when the driver went away under us: then there is nothing to shut down.
            ask(_shut_down)
        call(pynvml.nvmlInit)
        self.generation += 1

    def close(self) -> None:
        """Let go of the driver unless a call hangs in it; the process's end frees it then."""
        with self._turn:
            if self.generation and not self._calls_under_way and not self._renewing:
                ask(_shut_down)
                self.generation = 0


def _shut_down() -> None:
    try:
        pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        if error.value not in RENEW:
            raise
