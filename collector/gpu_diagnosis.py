"""What the doctor says of a host's GPUs: who answers, what they tell, what is wrong with them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final

from collector.clock import HostClock
from collector.diagnosis import DRIVER_SECONDS, Check, Status, ended, within
from collector.efficiency.peaks import peak_of
from collector.gpus.card import concerns, described, read_card
from collector.gpus.discovery import GpuDiscovery
from collector.gpus.nvml import DriverBusy, DriverError, Session
from collector.gpus.source import GpuSource
from collector.hardware import concerns as ailing
from collector.hardware.inventory import number_of
from collector.hardware.kernel_log import open_log
from collector.hardware.memory import FILE_NAME, Trouble, UnreadableError, look
from collector.hardware.policies import Verdict
from collector.settings import Settings
from telemetry.samples import ActivitySource, GpuSample

_GPM_PAUSE_SECONDS: Final = 0.15
"""GPM refreshes every 100 ms: two samples must lie further apart."""
_READINGS: Final = 4
_NEEDED: Final = ("energy_millijoules_total", "memory_used_bytes", "power_watts", "event_reasons")
_REAL: Final = frozenset({ActivitySource.GPM, ActivitySource.GPM_COUNTERS})


def gpu_checks(settings: Settings) -> Iterator[Check]:
    """Yield the findings about the driver, the kernel log and each GPU; some seconds. Raises nothing."""
    if not settings.gpus:
        yield Check("driver", Status.OK, "GPUs are switched off in the settings; none are read.")
        return
    session = Session()
    try:
        found = within(DRIVER_SECONDS, GpuDiscovery(session, host=settings.host).find)
    except TimeoutError:
        hint = "look for stuck processes in state D and for Xid messages in the kernel log"
        yield Check("driver", Status.FAIL, "The NVIDIA driver hangs: it does not answer.", hint)
        return
    except (DriverError, DriverBusy) as error:
        status = Status.FAIL if settings.expected_gpus else Status.WARN
        yield Check("driver", status, f"No GPU can be read: {ended(error)}", "without a GPU set gpus = false")
        return
    yield _count(settings, [source.name.removeprefix("gpu:") for source in found])
    yield _kernel_log(settings)
    try:
        troubles = list(look(settings.data_dir / FILE_NAME).troubles.values())
    except UnreadableError as fault:
        troubles = []
        yield Check("hardware", Status.WARN, f"{fault}.", "what stands against GPUs is not known from it")
    for source in found:
        yield from _gpu(source, session, troubles)


def _count(settings: Settings, seen: Sequence[str]) -> Check:
    expected = settings.expected_gpus
    named = expected if isinstance(expected, tuple) else ()
    missing = [uuid for uuid in named if uuid not in seen]
    if missing or (expected is not None and len(seen) != number_of(expected)):
        hint = "a GPU that is missing has fallen off the bus or is hidden from this container"
        which = f" Missing: {', '.join(missing)}." if missing else ""
        sentence = f"{len(seen)} GPUs answer, {number_of(expected or 0)} are expected.{which}"
        return Check("driver", Status.FAIL, sentence, hint)
    return Check("driver", Status.OK if seen else Status.WARN, f"The driver answers; GPUs: {len(seen)}.")


def _kernel_log(settings: Settings) -> Check:
    """Say by which ways an Xid would become known."""
    name = "kernel log"
    if settings.kernel_log is None:
        return Check(name, Status.OK, "It is switched off; Xids are known from the driver's events alone.")
    try:
        open_log(settings.kernel_log, boot="").close()
    except OSError as error:
        hint = "what happens before the agent starts, or while the driver hangs, is known from it alone"
        sentence = f"{settings.kernel_log}: {error.strerror}; Xids are known from the driver's events alone."
        return Check(name, Status.WARN, sentence, hint)
    return Check(name, Status.OK, f"Xids are read from {settings.kernel_log} as well.")


def _gpu(source: GpuSource, session: Session, troubles: Sequence[Trouble]) -> Iterator[Check]:
    samples = _samples(source)
    if not samples or not samples[0].up:
        hint = "see the kernel log for an Xid; a reset or a reboot may be due"
        yield Check(source.name, Status.FAIL, "The GPU is lost or its driver call hangs.", hint)
        return
    sample, *instances = samples
    title = f"GPU {sample.gpu_index} {sample.gpu_model}, driver {sample.driver_version}"
    untold = [name for name in _NEEDED if getattr(sample, name) is None]
    hint = f"not told by this GPU: {', '.join(untold)}" if untold else ""
    yield Check(source.name, Status.WARN if untold else Status.OK, f"{title}: readable.", hint)
    yield from _board(source, session)
    yield _health(sample, [trouble for trouble in troubles if trouble.gpu == sample.gpu_uuid])
    yield _activity(f"{source.name} activity", sample, source.withdrawn)
    yield _peaks(sample)
    for instance in instances:
        name = f"{source.name} MIG {instance.mig_profile} {instance.gpu_uuid}"
        yield _activity(name, instance, frozenset())


def _health(sample: GpuSample, troubles: Sequence[Trouble]) -> Check:
    """Say what is wrong with a GPU that answers, and which Xids an agent here noted against it."""
    name = f"health of {sample.gpu_uuid}"
    noted = [f"Xid {trouble.code} stands ({trouble.verdict})" for trouble in troubles]
    wrong = "; ".join([*noted, *ailing.concerns(sample)])
    if not wrong:
        return Check(name, Status.OK, "Nothing stands against it.")
    fatal = sample.recovery_action or any(trouble.verdict is Verdict.FATAL for trouble in troubles)
    return Check(
        name, Status.FAIL if fatal else Status.WARN, f"{wrong}.", "docs/hardware.md says what ends each"
    )


def _peaks(sample: GpuSample) -> Check:
    name, peak = f"peaks of {sample.gpu_uuid}", peak_of(sample.gpu_model)
    if peak is None:
        sentence = f"None are listed for {sample.gpu_model}: its MFU and MBU are absent."
        return Check(name, Status.OK, sentence)
    told = f"{peak.teraflops:,g} TFLOP/s (FP16), {peak.gigabytes_per_second:,g} GB/s"
    return Check(name, Status.OK, f"{told}.")


def _board(source: GpuSource, session: Session) -> Iterator[Check]:
    try:
        card = within(DRIVER_SECONDS, lambda: read_card(session, source.identity.uuid))
    except (TimeoutError, DriverError, DriverBusy):
        return  # it answered a moment ago: the next examination tells more
    hint = "; ".join(concerns(card))
    yield Check(f"{source.name} board", Status.WARN if hint else Status.OK, described(card), hint)


def _samples(source: GpuSource) -> list[GpuSample]:
    """Return the last of a few readings, of the GPU and its MIG instances; empty when it hangs.

    Activity is what lies between two readings, and a counter is a liar only after some more.
    """

    def read() -> list[GpuSample]:
        for _ in range(_READINGS):
            records = source.read(HostClock().now_us()).records
            time.sleep(_GPM_PAUSE_SECONDS)
        source.close()
        return [record for record in records if isinstance(record, GpuSample)]

    try:
        return within(DRIVER_SECONDS, read)
    except TimeoutError:
        return []


def _activity(name: str, sample: GpuSample, withdrawn: frozenset[ActivitySource]) -> Check:
    ratios = {
        "SM": sample.sm_activity_ratio,
        "tensor": sample.tensor_activity_ratio,
        "DRAM": sample.dram_activity_ratio,
    }
    told = ", ".join(f"{what} {'-' if value is None else f'{value:.1%}'}" for what, value in ratios.items())
    sentence = f"{told} (source {sample.activity_source or 'none'})."
    if withdrawn:
        return Check(
            name,
            Status.WARN,
            f"{sentence} Not used, for it reads zero under load: {', '.join(sorted(withdrawn))}.",
            "an Xid stopped the counters, or another profiler holds them: reset the GPU, end the profiler",
        )
    if sample.activity_source not in _REAL:
        hint = "tensor and DRAM activity need Hopper or newer, a recent driver, and leave to read them"
        return Check(name, Status.WARN, f"{sentence} SM activity is an estimate at best.", hint)
    if sample.kernel_busy_ratio and not any(ratios.values()):
        return Check(
            name,
            Status.WARN,
            f"Activity reads zero while kernels run ({sample.kernel_busy_ratio:.0%} kernel-busy).",
            "another profiler may hold the counters; a spinning kernel looks so too",
        )
    hint = "" if any(ratios.values()) else "the GPU is idle: look again under load to see them move"
    return Check(name, Status.OK, sentence, hint)
