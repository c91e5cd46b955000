"""Reading a kernel log: each line once, across restarts, rotation and a ring that overwrites itself."""

from __future__ import annotations

import os
import socket
import time

import pytest

from collector.growing_file import Position
from collector.hardware.kernel_log import HISTORY_US, Kmsg, LogFile, open_log

NOW = 1_700_000_000_000_000


class Ring:
    """A stand-in for /dev/kmsg: one record a read, nothing to read is no error."""

    def __init__(self):
        self.kernel, self.user = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.user.setblocking(False)

    def say(self, number, text, seconds_ago=0.0):
        since_boot = time.monotonic_ns() // 1_000 - int(seconds_ago * 1e6)
        self.kernel.send(f"6,{number},{since_boot},-;{text}\n SUBSYSTEM=pci\n".encode())

    def opened(self):
        return os.dup(self.user.fileno())


@pytest.fixture
def ring():
    made = Ring()
    yield made
    made.kernel.close(), made.user.close()


def texts(lines):
    return [line.text for line in lines]


def test_records_are_read_once_with_their_own_instant(ring):
    log = Kmsg(ring.opened, boot="b1")
    ring.say(7, "first", seconds_ago=5)
    lines, position = log.read(NOW, None)
    ring.say(8, "second")
    more, position = log.read(NOW + 1_000_000, position)
    assert (texts(lines), texts(more)) == (["first"], ["second"])
    assert lines[0].after_us == lines[0].at_us == pytest.approx(NOW - 5_000_000, abs=200_000)
    assert position == Position("b1", 9)
    log.close()


def test_a_restarted_agent_skips_what_it_has_read_and_takes_what_it_missed(ring):
    for number in range(3):
        ring.say(number, f"line {number}", seconds_ago=3 * HISTORY_US / 1e6)
    lines, _ = Kmsg(ring.opened, boot="b1").read(NOW, Position("b1", 2))
    assert texts(lines) == ["line 2"]


def test_the_first_start_reads_the_last_hour_only(ring):
    ring.say(1, "yesterday", seconds_ago=86_400)
    ring.say(2, "just now", seconds_ago=60)
    lines, position = Kmsg(ring.opened, boot="b2").read(NOW, Position("b1", 900))
    assert texts(lines) == ["just now"]
    assert position == Position("b2", 3)


def test_records_that_are_none_are_skipped_and_escapes_are_undone(ring):
    ring.kernel.send(b"nonsense")
    ring.say(4, r"NVRM: The NVIDIA GPU 0000:b4:00.0\x0aNVRM: fallen off the bus")
    lines, _ = Kmsg(ring.opened, boot="b").read(NOW, None)
    assert texts(lines) == ["NVRM: The NVIDIA GPU 0000:b4:00.0 NVRM: fallen off the bus"]


def test_a_file_never_read_is_read_from_its_end(tmp_path):
    path = tmp_path / "kern.log"
    path.write_text("old\n")
    log = LogFile(path)
    lines, position = log.read(NOW, None)
    with path.open("a") as file:
        file.write("new\nhalf")
    more, position = log.read(NOW + 1, position)
    with path.open("a") as file:
        file.write(" a line\n")
    rest, _ = log.read(NOW + 2, position)
    assert (texts(lines), texts(more), texts(rest)) == ([], ["new"], ["half a line"])
    assert (rest[0].after_us, rest[0].at_us) == (NOW, NOW + 2)  # it was begun before the second read


def test_a_rotated_file_is_read_to_its_end_and_its_successor_from_the_beginning(tmp_path):
    path = tmp_path / "kern.log"
    path.write_text("")
    log = LogFile(path)
    _, position = log.read(NOW, None)
    path.write_text("last of the old\n")
    path.rename(tmp_path / "kern.log.1")
    between, position = log.read(NOW, position)
    path.write_text("first of the new\n")
    _, position = log.read(NOW, position)
    after, _ = log.read(NOW, position)
    assert (texts(between), texts(after)) == (["last of the old"], ["first of the new"])


def test_a_truncated_file_is_read_from_its_beginning(tmp_path):
    path = tmp_path / "kern.log"
    path.write_text("x" * 100 + "\n")
    log = LogFile(path)
    _, position = log.read(NOW, None)
    path.write_text("anew\n")
    assert texts(log.read(NOW, position)[0]) == ["anew"]


def test_an_endless_line_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("collector.growing_file.MAX_BYTES_A_READ", 64)
    path = tmp_path / "kern.log"
    path.write_text("x" * 200 + "\nthe next\n")
    log, position, seen = LogFile(path), Position("", 0), []
    for _ in range(6):
        lines, position = log.read(NOW, position)
        seen += texts(lines)
    assert "the next" in seen


def test_a_file_is_no_device(tmp_path):
    path = tmp_path / "kern.log"
    path.write_text("")
    assert isinstance(open_log(path, boot="b"), LogFile)
