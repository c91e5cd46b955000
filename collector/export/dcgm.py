"""Our readings as dcgm-exporter's page, so that its dashboards and alert rules go on unchanged.

Which series, from what: `collector.export.dcgm_names`. Label order and spelling are those of
dcgm-exporter's own renderer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from collector.export.dcgm_names import SERIES, XID, DcgmSeries, Number
from collector.export.text_format import family_text, labels_text
from collector.hardware.xids import xid_of
from telemetry.columns import Record
from telemetry.counters import increase
from telemetry.samples import GpuSample
from telemetry.units import MICROS_PER_SECOND


class DcgmPage:
    """Readings as dcgm-exporter's page. Keeps one counter value for each rate; thread-safe.

    `hostname_label` is one of `HOSTNAME_LABELS`.
    """

    def __init__(self, hostname_label: str) -> None:
        self._hostname_label = hostname_label
        self._lock = threading.Lock()
        self._rates: dict[tuple[str, str], _Rate] = {}

    def render(self, records: Iterable[Record], last_xids: Mapping[str, int] | None = None) -> bytes:
        """Return the page of the GPUs among the records. What was not measured has no series.

        `last_xids` are the last Xids by GPU; None = nobody watches for them.
        """
        gpus = [
            (row, self._labels(row))
            for row in records
            if isinstance(row, GpuSample) and row.gpu_index is not None
        ]
        with self._lock:
            self._forget_all_but({row.gpu_uuid for row, _ in gpus})
            page = [self._family(series, gpus) for series in SERIES]
        if last_xids is not None and gpus:
            page.append(self._xids([row for row, _ in gpus], last_xids))
        return "".join(page).encode()

    def _family(self, series: DcgmSeries, gpus: Iterable[tuple[GpuSample, str]]) -> str:
        values: dict[str, Number] = {}
        for row, labels in gpus:
            if (value := self._value(series, row)) is not None:
                values.setdefault(labels, value)  # parts of one GPU instance share what it has
        return family_text(series.name, series.kind, series.help, [*values.items()]) if values else ""

    def _value(self, series: DcgmSeries, row: GpuSample) -> Number | None:
        value: Number | None = getattr(row, series.column)
        if value is None:
            return None
        if series.rate:
            rate = self._rates.setdefault((row.gpu_uuid, series.name), _Rate())
            return rate.after(row.at_us, value)
        return series.convert(value)

    def _xids(self, gpus: Iterable[GpuSample], last: Mapping[str, int]) -> str:
        codes = [(row, last.get(row.gpu_uuid, 0)) for row in gpus]
        series = {
            self._labels(row, err_code=str(code), err_msg=xid_of(code).words if code else "No Error"): code
            for row, code in codes
        }
        return family_text(XID.name, XID.kind, XID.help, [*series.items()])

    def _labels(self, row: GpuSample, **attributes: str) -> str:
        """Return the labels in dcgm-exporter's order; those it leaves out when unknown are left out."""
        pairs = {
            "gpu": str(row.gpu_index),
            "UUID": row.mig_parent_uuid or row.gpu_uuid,
            "pci_bus_id": row.pci_bus_id or "",
            "device": f"nvidia{row.gpu_index}",
            "modelName": row.gpu_model or "",
            "GPU_I_PROFILE": row.mig_profile,
            "GPU_I_ID": None if row.mig_instance is None else str(row.mig_instance),
            self._hostname_label: row.host,
            "DCGM_FI_DRIVER_VERSION": row.driver_version,
            **attributes,
        }
        return labels_text({name: text for name, text in pairs.items() if text is not None})

    def _forget_all_but(self, present: set[str]) -> None:
        for key in [key for key in self._rates if key[0] not in present]:
            del self._rates[key]


class _Rate:
    """A counter's increase a second between the last two different readings that were shown."""

    def __init__(self) -> None:
        self._at_us: int | None = None
        self._total: Number = 0
        self._per_second: Number | None = None

    def after(self, at_us: int, total: Number) -> Number | None:
        """Take a reading; return the rate, None before there are two and across a reset."""
        if self._at_us is not None and at_us > self._at_us:
            grown = increase(self._total, total)
            self._per_second = None if grown is None else grown * MICROS_PER_SECOND / (at_us - self._at_us)
        if self._at_us is None or at_us > self._at_us:
            self._at_us, self._total = at_us, total
        return self._per_second
