"""A full disk asks agents to wait and to come again; what was acknowledged stays; room mends it.

The disk is a small tmpfs where we may mount one, and everywhere a file-size limit of the kernel's.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess

import pytest

MIB = 1024 * 1024


class SmallDisk:
    """A tmpfs of 160 MiB."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(folder)]
        possible = os.geteuid() == 0 and shutil.which("mount") is not None
        self.mounted = possible and subprocess.run(mount, check=False).returncode == 0

    def fill(self, _served):
        disk = os.statvfs(self.folder)
        (self.folder / "filler").write_bytes(b"x" * (disk.f_bavail * disk.f_frsize))

    def free(self, _served):
        (self.folder / "filler").unlink()

    def close(self):
        if self.mounted:
            subprocess.run(["umount", str(self.folder)], check=True)


class FileSizeLimit:
    """No file of the service may grow beyond 1 MiB."""

    mounted = True

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()

    def fill(self, served):
        resource.prlimit(served.child.pid, resource.RLIMIT_FSIZE, (MIB, resource.RLIM_INFINITY))

    def free(self, served):
        resource.prlimit(served.child.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

    def close(self):
        pass


@pytest.fixture(params=[FileSizeLimit, SmallDisk], ids=["file-size limit", "tmpfs"])
def disk(request, tmp_path):
    disk = request.param(tmp_path / "disk")
    if not disk.mounted:
        disk = FileSizeLimit(tmp_path / "limited")
    yield disk
    disk.close()


def refusal(served, batch):
    """Return the first refusal, and the batch that was refused; the batches before it were taken."""
    for taken in range(40):
        body = batch(rows=5_000)
        answer = served.post(body)
        if answer.status_code != 202:
            return taken, body, answer
    raise AssertionError("the disk is not full")


def test_a_full_disk_puts_batches_off_and_room_lets_them_in(disk, tmp_path, serving, batch):
    with serving(tmp_path, data_dir=disk.folder / "data", BALLAST_BYTES=str(8 * MIB)) as served:
        assert served.post(batch(rows=9)).status_code == 202
        served.until(served.everything_is_stored)
        disk.fill(served)
        taken, held, answer = refusal(served, batch)
        assert answer.status_code in (429, 503), answer.text
        assert int(answer.headers["retry-after"]) >= 1 and answer.json()["detail"]
        disk.free(served)
        served.until(lambda: served.post(held).status_code == 202, 30)
        served.until(served.everything_is_stored, 30)
        served.until(lambda: served.call("GET", "/health").status_code == 200, 30)
        assert served.metric("stored_rows_total") == 9 + 5_000 * (taken + 1)
        assert "Traceback" not in served.log()
