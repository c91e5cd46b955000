"""The test's side of the fake driver: compile it, map its state, and make things happen to it.

library = build(folder)                       # one gcc run, kept by the content's hash
driver = Driver.create(folder / "state", gpus=2)
driver.environment(library)                   # for a subprocess; `load(library)` for this one
driver.gpus[0].busy_percent = 40
driver.lose(1); driver.wedge(0, "nvmlDeviceGetUtilizationRates"); driver.reset_counters(0)
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import re
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = sorted([*HERE.glob("*.c"), *HERE.glob("*.h"), *HERE.glob("*.def")])
FUNCTIONS = re.findall(r"^FN\((\w+)\)", (HERE / "functions.def").read_text(), re.MULTILINE)
DOUBLE, UNSIGNED, LONG = 0, 1, 3
UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND = 1, 2, 3, 4, 6
DRIVER_NOT_LOADED, TIMEOUT, FUNCTION_NOT_FOUND, IS_LOST, RESET_REQUIRED = 9, 10, 13, 15, 16
LIBRARY_MISMATCH, ARGUMENT_VERSION, NO_DATA, UNKNOWN = 18, 25, 21, 999
ALL_LINKS = 0xFFFFFFFF
XID_ERROR, EVENT_TYPES = 0x8, 0xFFFF
GIB = 1 << 30
FIELDS = {  # (id, scope) -> (kind, value): what an H100 of a recent driver answers
    (3, 0): (LONG, 0), (4, 0): (LONG, 0), (74, 0): (LONG, 2_000_000_000), (75, 0): (LONG, 0),
    (82, 0): (UNSIGNED, 52), (83, 0): (LONG, 5_000_000), (94, 0): (UNSIGNED, 0),
    (138, ALL_LINKS): (LONG, 3_000), (139, ALL_LINKS): (LONG, 2_000),
    (142, 0): (UNSIGNED, 0), (143, 0): (UNSIGNED, 0), (144, 0): (UNSIGNED, 0), (145, 0): (UNSIGNED, 0),
    (161, ALL_LINKS): (LONG, 0), (162, ALL_LINKS): (LONG, 0), (163, ALL_LINKS): (LONG, 0),
    (185, 0): (UNSIGNED, 310_000), (186, 0): (UNSIGNED, 308_000), (197, 0): (LONG, 70_000), (198, 0): (LONG, 90_000),
    (230, 0): (UNSIGNED, 0), (270, 0): (LONG, 0), (271, 0): (LONG, 0),
}  # fmt: skip
METRICS = {2: 61.0, 3: 33.0, 5: 24.0, 10: 47.0, 248: 1_000.0, 249: 400.0, 250: 100.0}


class Knob(ctypes.Structure):
    _fields_ = [
        ("calls", ctypes.c_uint64), ("latency_us", ctypes.c_uint32), ("result", ctypes.c_int32),
        ("wedged", ctypes.c_int32), ("unused", ctypes.c_int32),
    ]  # fmt: skip


class FieldWord(ctypes.Union):
    _fields_ = [("real", ctypes.c_double), ("whole", ctypes.c_uint64), ("sign", ctypes.c_int64)]


class Field(ctypes.Structure):
    _fields_ = [
        ("id", ctypes.c_uint32), ("scope", ctypes.c_uint32), ("result", ctypes.c_int32),
        ("kind", ctypes.c_uint32), ("value", FieldWord),
    ]  # fmt: skip


class Metric(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint32), ("result", ctypes.c_int32), ("value", ctypes.c_double)]


class Instance(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char * 96), ("uuid", ctypes.c_char * 96),
        ("present", ctypes.c_uint32), ("gpu_instance", ctypes.c_uint32), ("compute_instance", ctypes.c_uint32),
        ("slices", ctypes.c_uint32), ("compute_slices", ctypes.c_uint32), ("unused", ctypes.c_uint32),
        ("memory_total", ctypes.c_uint64), ("memory_reserved", ctypes.c_uint64),
        ("memory_free", ctypes.c_uint64), ("memory_used", ctypes.c_uint64), ("metrics", Metric * 32),
    ]  # fmt: skip


class HappenedEvent(ctypes.Structure):
    _fields_ = [
        ("gpu", ctypes.c_uint32), ("unused", ctypes.c_uint32), ("type", ctypes.c_uint64), ("data", ctypes.c_uint64),
    ]  # fmt: skip


class Gpu(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char * 96), ("uuid", ctypes.c_char * 96), ("bus_id", ctypes.c_char * 32),
        ("lost", ctypes.c_int32), ("absent", ctypes.c_int32), ("dead_epoch", ctypes.c_uint32),
        ("gpm_supported", ctypes.c_int32),
        ("busy_percent", ctypes.c_uint32), ("memory_busy_percent", ctypes.c_uint32),
        ("encoder_percent", ctypes.c_uint32), ("decoder_percent", ctypes.c_uint32),
        ("memory_total", ctypes.c_uint64), ("memory_reserved", ctypes.c_uint64),
        ("memory_free", ctypes.c_uint64), ("memory_used", ctypes.c_uint64),
        ("power_mw", ctypes.c_uint32), ("power_limit_mw", ctypes.c_uint32), ("energy_mj", ctypes.c_uint64),
        ("clock_mhz", ctypes.c_uint32 * 4), ("clock_max_mhz", ctypes.c_uint32 * 4),
        ("temperature", ctypes.c_int32), ("pcie_generation", ctypes.c_int32),
        ("event_reasons", ctypes.c_uint64),
        ("pcie_width", ctypes.c_uint32), ("pcie_width_max", ctypes.c_uint32),
        ("serial", ctypes.c_char * 32), ("vbios", ctypes.c_char * 32), ("part", ctypes.c_char * 80),
        ("mig_mode", ctypes.c_uint32), ("mig_pending", ctypes.c_uint32), ("persistence", ctypes.c_uint32),
        ("ecc", ctypes.c_uint32), ("ecc_pending", ctypes.c_uint32), ("performance_state", ctypes.c_uint32),
        ("architecture", ctypes.c_uint32), ("capability", ctypes.c_uint32 * 2), ("cores", ctypes.c_uint32),
        ("compute_mode", ctypes.c_uint32), ("bus_width", ctypes.c_uint32),
        ("pcie_generation_max", ctypes.c_uint32), ("power_limit_range_mw", ctypes.c_uint32 * 2),
        ("unused_board", ctypes.c_uint32), ("instances", Instance * 8),
        ("fields", Field * 64), ("metrics", Metric * 32), ("knobs", Knob * len(FUNCTIONS)),
        ("event_types", ctypes.c_uint64), ("registered", ctypes.c_uint64),
        ("process_count", ctypes.c_uint32), ("processes", ctypes.c_uint32 * 16), ("unused", ctypes.c_uint32),
    ]  # fmt: skip


class State(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32), ("gpu_count", ctypes.c_uint32), ("epoch", ctypes.c_uint32),
        ("unused", ctypes.c_uint32), ("samples", ctypes.c_int64), ("driver_version", ctypes.c_char * 80),
        ("library_version", ctypes.c_char * 80), ("cuda_version", ctypes.c_uint32), ("unused_version", ctypes.c_uint32),
        ("system", Knob * len(FUNCTIONS)), ("gpus", Gpu * 16),
        ("events_made", ctypes.c_uint64), ("events_told", ctypes.c_uint64), ("events", HappenedEvent * 1024),
    ]  # fmt: skip


def build(folder: Path, *, hidden: frozenset[str] = frozenset()) -> Path:
    """Compile the library once per content and set of hidden symbols (an older driver's lack)."""
    hasher = hashlib.sha256(repr(sorted(hidden)).encode())
    for source in SOURCES:
        hasher.update(source.read_bytes())
    library = folder / hasher.hexdigest()[:16] / "libnvidia-ml.so.1"
    if library.exists():
        return library
    library.parent.mkdir(parents=True, exist_ok=True)
    exports = library.parent / f"exports-{os.getpid()}"
    exports.write_text(f"{{ global: nvml*; fake_*; local: {' '.join(f'{n};' for n in sorted(hidden))} *; }};")
    made = library.parent / f"made-{os.getpid()}"
    flags = ["-std=c11", "-D_DEFAULT_SOURCE", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    link = [f"-Wl,-soname,{library.name}", f"-Wl,--version-script={exports}"]
    subprocess.run(["gcc", *flags, *link, *map(str, HERE.glob("*.c")), "-o", str(made)], check=True)
    made.rename(library)  # whole or not at all: two test runs may compile at once
    exports.unlink()
    return library


class Driver:
    """The state of a fake driver and the mishaps a test can cause."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stopped: set[int] = set()
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), ctypes.sizeof(State))
        self.state = State.from_buffer(self._map)

    @classmethod
    def create(cls, path: Path, *, gpus: int = 1) -> Driver:
        """A healthy driver 595 with so many H100s, each at 40 % kernel-busy."""
        path.write_bytes(bytes(ctypes.sizeof(State)))
        driver = cls(path)
        driver.state.size = ctypes.sizeof(State)
        driver.state.gpu_count = gpus
        driver.state.driver_version, driver.state.library_version = b"595.71.05", b"13.595.71.05"
        driver.state.cuda_version = 13_010
        for index in range(gpus):
            _equip(driver.state.gpus[index], index)
        return driver

    @property
    def gpus(self):
        return self.state.gpus

    def environment(self, library: Path) -> dict[str, str]:
        """What a subprocess needs to see this driver."""
        return {"FAKE_NVML_STATE": str(self.path), "LD_LIBRARY_PATH": str(library.parent)}

    def knob(self, gpu: int | None, function: str) -> Knob:
        """The knob of one call, of a GPU or (None) of the whole system."""
        owner = self.state.system if gpu is None else self.state.gpus[gpu].knobs
        return owner[FUNCTIONS.index(function)]

    def calls(self, gpu: int | None = None) -> int:
        """How many calls were made for one GPU, or to the system as a whole."""
        return sum(knob.calls for knob in (self.state.system if gpu is None else self.state.gpus[gpu].knobs))

    def wedge(self, gpu: int | None, function: str, *, wedged: bool = True) -> None:
        """Make a call hang until it is released."""
        self.knob(gpu, function).wedged = wedged

    def fail(self, gpu: int | None, function: str, result: int) -> None:
        """Make a call answer an error; 0 heals it."""
        self.knob(gpu, function).result = result

    def release(self) -> None:
        """Let every wedged call return."""
        for knobs in (self.state.system, *(gpu.knobs for gpu in self.state.gpus)):
            for knob in knobs:
                knob.wedged = 0

    def lose(self, gpu: int) -> None:
        """The GPU falls off the bus; handles made before stay lost for ever."""
        self.state.gpus[gpu].lost = 1
        self.state.gpus[gpu].dead_epoch = self.state.epoch

    def restore(self, gpu: int) -> None:
        """The GPU is back: the next init will find it."""
        self.state.gpus[gpu].lost = 0

    def happen(self, gpu: int, xid: int, *, kind: int = XID_ERROR) -> None:
        """Something happens to a GPU: told once, to who asked for it before."""
        event = self.state.events[self.state.events_made % len(self.state.events)]
        event.gpu, event.type, event.data = gpu, kind, xid
        self.state.events_made += 1

    def run(self, gpu: int, *pids: int) -> None:
        """These processes compute on the GPU now, and no others."""
        self.state.gpus[gpu].process_count = len(pids)
        self.state.gpus[gpu].processes[: len(pids)] = pids

    def field(self, gpu: int, number: int) -> Field:
        """The slot of a field value, a free one when the id is new."""
        slots = self.state.gpus[gpu].fields
        return next(slot for slot in slots if slot.id in (number, 0))

    def metric(self, gpu: int, number: int) -> Metric:
        """The slot of a GPM metric, a free one when the id is new."""
        slots = self.state.gpus[gpu].metrics
        return next(slot for slot in slots if slot.id in (number, 0))

    def pass_time(self, seconds: float = 1.0) -> None:
        """Time passes: energy by the power drawn, and cycles by the activity each GPU shows."""
        for index, gpu in enumerate(list(self.state.gpus)[: self.state.gpu_count]):
            energy = next(slot for slot in gpu.fields if slot.id == 83)
            gpu.energy_mj += round(gpu.power_mw * seconds)
            energy.value.whole = gpu.energy_mj
            for metrics in (gpu.metrics, *(part.metrics for part in gpu.instances if part.present)):
                told = {metric.id: metric for metric in metrics if metric.id}
                told[248].value += 1e9 * seconds
                for number, ratio in () if index in self.stopped else ((249, 2), (250, 5)):
                    told[number].value += 1e7 * seconds * told[ratio].value

    def stop_cycles(self, gpu: int) -> None:
        """The active cycles stand still while those elapsed go on: a counter that lies."""
        self.stopped.add(gpu)

    def partition(self, gpu: int, *profiles: str) -> None:
        """MIG is on, with instances of these profiles (`1g.10gb`) and no others; none = MIG is off."""
        owner = self.state.gpus[gpu]
        owner.mig_mode = owner.mig_pending = int(bool(profiles))
        for place, instance in enumerate(owner.instances):
            instance.present = int(place < len(profiles))
            if instance.present:
                _split(owner, instance, place, profiles[place])

    def reset_counters(self, gpu: int) -> None:
        """A driver reload: every counter begins again at zero."""
        self.state.gpus[gpu].energy_mj = 0
        for number in (3, 4, 74, 75, 83, 94, 138, 139, 161, 162, 163, 197, 198, 270, 271):
            self.field(gpu, number).value.whole = 0
        for number in (248, 249, 250):
            self.metric(gpu, number).value = 0.0

    def without_gpm(self, gpu: int) -> None:
        """An Ampere: no performance monitoring, and none of the newer field values."""
        self.state.gpus[gpu].gpm_supported = 0
        for number in (185, 186, 197, 198, 230, 270, 271):
            self.field(gpu, number).result = NOT_SUPPORTED


def _equip(gpu: Gpu, index: int) -> None:
    gpu.name = b"NVIDIA H100 80GB HBM3"
    gpu.uuid = f"GPU-fa4e0000-0000-4000-8000-{index:012d}".encode()
    gpu.bus_id = f"00000000:{index + 1:02X}:00.0".encode()
    gpu.gpm_supported, gpu.event_types = 1, EVENT_TYPES
    gpu.busy_percent, gpu.memory_busy_percent = 40, 20
    gpu.encoder_percent, gpu.decoder_percent = 0, 30
    gpu.memory_total, gpu.memory_reserved = 80 * GIB, GIB
    gpu.memory_used, gpu.memory_free = 60 * GIB, 19 * GIB
    gpu.power_mw, gpu.power_limit_mw, gpu.energy_mj = 305_000, 700_000, 5_000_000
    gpu.clock_mhz[:] = [1_755, 1_755, 2_619, 1_500]
    gpu.clock_max_mhz[:] = [1_980, 1_980, 2_619, 1_650]
    gpu.temperature, gpu.event_reasons = 47, 0x4
    gpu.pcie_generation, gpu.pcie_width, gpu.pcie_width_max, gpu.pcie_generation_max = 5, 16, 16, 5
    gpu.serial, gpu.vbios, gpu.part = (
        f"16503230{index:05d}".encode(),
        b"96.00.89.00.01",
        b"692-2G520-0200-000",
    )
    gpu.persistence, gpu.ecc, gpu.ecc_pending, gpu.performance_state = 1, 1, 1, 0
    gpu.architecture, gpu.cores, gpu.compute_mode, gpu.bus_width = 9, 16_896, 0, 5_120
    gpu.capability[:], gpu.power_limit_range_mw[:] = [9, 0], [200_000, 700_000]
    for slot, ((number, scope), (kind, value)) in zip(gpu.fields, FIELDS.items(), strict=False):
        slot.id, slot.scope, slot.kind, slot.value.whole = number, scope, kind, value
    for metric, (number, reading) in zip(gpu.metrics, METRICS.items(), strict=False):
        metric.id, metric.value = number, reading


def _split(gpu: Gpu, instance: Instance, place: int, profile: str) -> None:
    slices, memory = re.fullmatch(r"(\d)g\.(\d+)gb", profile).groups()
    instance.name = gpu.name + f" MIG {profile}".encode()
    instance.uuid = f"MIG-{gpu.uuid.decode()[4:12]}-{profile}-{place}".encode()
    instance.gpu_instance, instance.compute_instance = 7 + place, 0
    instance.slices = instance.compute_slices = int(slices)
    instance.memory_total, instance.memory_reserved = int(memory) * GIB, GIB // 8
    instance.memory_used, instance.memory_free = GIB, (int(memory) - 1) * GIB - GIB // 8
    for metric, (number, reading) in zip(instance.metrics, METRICS.items(), strict=False):
        metric.id, metric.result, metric.value = number, 0, reading


def load(library: Path, driver: Driver) -> None:
    """Give this process the fake driver: what `CDLL("libnvidia-ml.so.1")` would have found.

    The real pynvml is used unmodified; only the library it holds is set, and its cache of
    function pointers emptied, so that one process can see several drivers one after another.
    """
    import pynvml

    os.environ["FAKE_NVML_STATE"] = str(driver.path)
    loaded = ctypes.CDLL(str(library))
    assert loaded.fake_state_size() == ctypes.sizeof(State), "state.h and driver.py differ"
    loaded.fake_unload()
    pynvml.nvmlLib = loaded
    pynvml._nvmlGetFunctionPointer_cache.clear()
