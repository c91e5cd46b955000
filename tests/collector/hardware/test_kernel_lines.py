"""Lines of the kernel log as drivers of several ages write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.hardware.kernel_lines import KernelXid, bus_key, kernel_xid


@pytest.mark.parametrize(
    ("line", "bus", "code", "pid", "fatal"),
    [
        ("NVRM: Xid (PCI:0000:65:00): 79, GPU has fallen off the bus", "0000:65:00", 79, None, None),
        ("NVRM: Xid (PCI:0000:05:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.", "0000:05:00", 79, None, None),
        ("Okt 06 17:59:27 balrog kernel: NVRM: Xid (PCI:0000:01:00): 79, pid=1122, GPU has fallen off the bus.", "0000:01:00", 79, 1122, None),
        ("[ 1234.5] NVRM: Xid (0000:03:00): 14, Channel 00000001", "0000:03:00", 14, None, None),
        ("NVRM: Xid (PCI:0000:83:00): 48", "0000:83:00", 48, None, None),
        ("NVRM: Xid (PCI:0000:00:06): 31, pid=79749, name=exe, Ch 0000000a, intr 00000000. MMU Fault: ENGINE GRAPHICS", "0000:00:06", 31, 79749, None),
        ("NVRM: Xid (PCI:0000:01:00 GPU-I:02): 94, pid=7194, name=python3, Contained: SM (0x1)", "0000:01:00", 94, 7194, None),
        ("NVRM: Xid (PCI:0000:C1:00.0): 63, Row remapping event", "0000:c1:00", 63, None, None),
        ("NVRM: Xid (PCI:0000:00:1e): 145, pid=4, name=<unknown>, RLW_SRC_TRACK Fatal XC0 i1 Link 00 (0x1 0x2)", "0000:00:1e", 145, 4, True),
        ("NVRM: Xid (PCI:0019:01:00): 145, RLW_SRC_TRACK Nonfatal XC1 i0 Link 12 (0x040988e2 0x8)", "0019:01:00", 145, None, False),
        ("NVRM: Xid (PCI:0000:65:00): 154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)", "0000:65:00", 154, None, True),
        ("NVRM: Xid (PCI:0000:65:00): 154, GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)", "0000:65:00", 154, None, False),
        ("NVRM: GPU 0000:06:00.0: GPU has fallen off the bus.", "0000:06:00", 79, None, None),
        ("NVRM: The NVIDIA GPU 0000:b4:00.0 NVRM: (PCI ID: 10de:2330) NVRM: installed in this system has NVRM: fallen off the bus and is not responding to commands.", "0000:b4:00", 79, None, None),
    ],
)  # fmt: skip
def test_an_xid_is_read_whatever_stands_around_it(line, bus, code, pid, fatal):
    implied = "Xid" not in line
    assert kernel_xid(line) == KernelXid(bus=bus, code=code, pid=pid, fatal=fatal, implied=implied)


@given(st.text(max_size=300), st.text(alphabet="0123456789abcdef:.()PCI, XidNVRM", max_size=120))
def test_no_line_breaks_the_reader(text, tail):
    for line in (text, f"NVRM: Xid (PCI:0000:65:00{tail}", f"NVRM: Xid (PCI:0000:65:00): 154, {tail}{text}"):
        found = kernel_xid(line)
        assert found is None or (0 <= found.code < 100_000 and found.bus == bus_key(found.bus))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "NVRM: loading NVIDIA UNIX Open Kernel Module 595.71.05",
        "NVRM: Xid (PCI:nonsense): 79, GPU",
        "NVRM: Xid (PCI:0000:65:00): unknown",
        "the disk has fallen off the bus",
        "python3[44]: I read that Xid 79 means trouble",
    ],
)
def test_other_lines_are_no_xid(line):
    assert kernel_xid(line) is None


def test_an_address_has_one_spelling():
    assert {bus_key(text) for text in ("00000000:0A:00.0", "0000:0a:00", "0000:0A:00.1")} == {"0000:0a:00"}
