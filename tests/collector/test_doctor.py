"""What the doctor says of a host in each state."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from collector import doctor, gpu_diagnosis
from collector.diagnosis import Status
from collector.doctor import examine
from collector.hardware.desk import HardwareDesk
from collector.hardware.policies import POLICIES
from collector.hardware.reports import Report, Route
from collector.settings import EngineTarget, Settings

VLLM = b"".join(
    b'%s{engine="0",model_name="m"} 3\n' % name
    for name in (
        b"vllm:num_requests_running", b"vllm:num_requests_waiting", b"vllm:prompt_tokens_total",
        b"vllm:generation_tokens_total", b"vllm:num_preemptions_total",
        b"vllm:time_to_first_token_seconds_count", b"vllm:time_to_first_token_seconds_sum",
    )
)  # fmt: skip


@pytest.fixture
def checks(tmp_path):
    """Examine a host; the checks by name."""

    def look(**given):
        settings = Settings(
            **{"host": "node-1", "data_dir": tmp_path, "find_engines": False, "gpus": False, **given}
        )
        return {check.name: check for check in examine(settings)}

    return look


def only(found, prefix):
    (check,) = [check for name, check in found.items() if name.startswith(prefix)]
    return check


def test_a_host_with_working_gpus(checks, make_driver):
    make_driver(gpus=2)
    found = checks(gpus=True, expected_gpus=2)
    assert found["driver"].status is Status.OK
    gpus = [check for name, check in found.items() if name.startswith("gpu:")]
    assert len(gpus) == 6 and {check.status for check in gpus} == {Status.OK}
    assert any("SM 61.0%, tensor 24.0%, DRAM 47.0% (source gpm" in check.sentence for check in gpus)


def test_an_older_gpu_has_no_activity_and_that_is_said(checks, make_driver):
    make_driver().without_gpm(0)
    found = checks(gpus=True)
    check = next(check for name, check in found.items() if name.endswith("activity"))
    assert check.status is Status.WARN
    assert "SM 35.5%, tensor -, DRAM - (source clock_weighted). SM activity is an estimate" in check.sentence


def test_a_board_is_described_and_what_to_mind_is_said(checks, make_driver):
    driver = make_driver()
    board = only(checks(gpus=True), f"gpu:{driver.gpus[0].uuid.decode()} board")
    assert board.status is Status.OK and board.sentence == (
        "part 692-2G520-0200-000, serial 1650323000000, VBIOS 96.00.89.00.01, compute 9.0, cores 16,896, "
        "memory bus 5,120 bit, PCIe up to 5.0, limit 200-700 W, CUDA 13.1, ECC on, MIG off."
    )
    driver.gpus[0].persistence, driver.gpus[0].mig_pending = 0, 1
    board = only(checks(gpus=True), f"gpu:{driver.gpus[0].uuid.decode()} board")
    assert board.status is Status.WARN
    assert "persistence is off" in board.hint and "MIG will be on after the next reset" in board.hint


def test_what_is_wrong_with_a_gpu_is_told_with_the_xids_noted_against_it(checks, make_driver, tmp_path):
    driver = make_driver()
    uuid = driver.gpus[0].uuid.decode()
    assert checks(gpus=True)[f"health of {uuid}"].status is Status.OK
    driver.gpus[0].pcie_width = 4
    found = checks(gpus=True)[f"health of {uuid}"]
    assert found.status is Status.WARN and found.sentence.startswith("its PCIe link has 4 of 16 lanes")
    desk = HardwareDesk(tmp_path / "hardware.json", host="node-1", policy=POLICIES["nvidia"], boot="b")
    desk.take([Report(gpu=uuid, code=79, route=Route.DRIVER, after_us=1, at_us=1)], 1)
    desk.keep()
    found = checks(gpus=True)[f"health of {uuid}"]
    assert found.status is Status.FAIL and found.sentence.startswith("Xid 79 stands (fatal); its PCIe")
    assert "hardware" not in checks(gpus=True)


def test_a_memory_that_cannot_be_read_is_told_and_left_alone(checks, make_driver, tmp_path):
    make_driver()
    (tmp_path / "hardware.json").write_text("{")
    assert checks(gpus=True)["hardware"].status is Status.WARN
    assert (tmp_path / "hardware.json").read_text() == "{"


def test_mig_instances_are_told_beside_their_gpu(checks, make_driver):
    make_driver().partition(0, "1g.10gb", "2g.20gb")
    found = checks(gpus=True)
    instances = [check for name, check in found.items() if " MIG " in name]
    assert [check.status for check in instances] == [Status.OK, Status.OK]
    assert "SM 61.0%" in instances[0].sentence


def test_counters_that_read_zero_under_load_are_suspected(checks, make_driver):
    driver = make_driver()
    for number in (2, 5, 10):
        driver.metric(0, number).value = 0.0
    check = next(check for name, check in checks(gpus=True).items() if name.endswith("activity"))
    assert check.status is Status.WARN and "zero while kernels run (40%" in check.sentence


def test_a_missing_gpu_is_told(checks, make_driver):
    make_driver(gpus=2).lose(1)
    found = checks(gpus=True, expected_gpus=2)
    assert (
        found["driver"].status is Status.FAIL and "1 GPUs answer, 2 are expected" in found["driver"].sentence
    )


def test_a_missing_gpu_is_told_by_name(checks, make_driver):
    driver = make_driver()
    check = checks(gpus=True, expected_gpus=(driver.gpus[0].uuid.decode(), "GPU-gone"))["driver"]
    assert (check.status, check.sentence) == (
        Status.FAIL,
        "1 GPUs answer, 2 are expected. Missing: GPU-gone.",
    )


@pytest.mark.parametrize(
    ("given", "status", "told"),
    [
        ("kern.log", Status.OK, "Xids are read from"),
        ("none.log", Status.WARN, "No such file"),
        (None, Status.OK, "switched off"),
    ],
)
def test_the_ways_to_an_xid_are_told(checks, make_driver, tmp_path, given, status, told):
    make_driver()
    (tmp_path / "kern.log").touch()
    check = checks(gpus=True, kernel_log=tmp_path / given if given else None)["kernel log"]
    assert check.status is status and told in check.sentence


def test_a_gpus_peaks_are_told_or_that_there_are_none(checks, make_driver):
    driver = make_driver(gpus=2)
    driver.gpus[1].name = b"NVIDIA Unheard Of"
    found = checks(gpus=True)
    told = [check.sentence for name, check in found.items() if name.startswith("peaks")]
    assert told == [
        "989.4 TFLOP/s (FP16), 3,350 GB/s.",
        "None are listed for NVIDIA Unheard Of: its MFU and MBU are absent.",
    ]


def test_where_gpus_would_be_placed_is_told(checks, web, make_driver, monkeypatch):
    driver = make_driver()
    web.answer = VLLM
    engine = {"gpus": True, "engines": (EngineTarget(url=web.url + "/metrics"),)}
    ours = str(Path("/proc/self/ns/pid").readlink())  # as if these were the host's own
    monkeypatch.setattr("collector.placement.processes.HOST_PID_NAMESPACE", ours)
    driver.run(0, 1)
    assert (checks(**engine)["placements"].status, checks(**engine)["placements"].hint[:9]) == (
        Status.WARN,
        "run it as",
    )
    driver.run(0, os.getpid())  # this process is the one that serves the page
    found = checks(**engine)["placements"]
    assert found.status is Status.OK and found.sentence.startswith(f"{driver.gpus[0].uuid.decode()} serves ")
    monkeypatch.setattr("collector.placement.processes.HOST_PID_NAMESPACE", "pid:[another]")
    assert "hostPID" in checks(**engine)["placements"].hint


def test_an_engines_memory_is_told_as_far_as_it_is_known(checks, web, tmp_path):
    web.answer = VLLM
    log = tmp_path / "vllm.log"
    log.write_text("INFO Model loading took 15.0 GiB and 2 seconds\n")
    check = only(checks(engines=(EngineTarget(url=web.url + "/metrics", log=log),)), "memory of")
    assert check.sentence == "First replica: weights 15.0 GiB, KV pool unknown."
    assert "[models.NAME]" in check.hint


def test_a_driver_that_hangs_is_told(checks, make_driver, monkeypatch):
    monkeypatch.setattr(gpu_diagnosis, "DRIVER_SECONDS", 0.2)
    make_driver().wedge(None, "nvmlDeviceGetCount_v2")
    found = checks(gpus=True)
    assert found["driver"].status is Status.FAIL and "hangs" in found["driver"].sentence


def test_a_gpu_that_hangs_is_told(checks, make_driver, monkeypatch):
    monkeypatch.setattr(gpu_diagnosis, "DRIVER_SECONDS", 1.5)
    make_driver(gpus=2).wedge(1, "nvmlDeviceGetUtilizationRates")
    statuses = [check.status for name, check in checks(gpus=True).items() if name.startswith("gpu:")]
    assert statuses == [Status.OK, Status.OK, Status.OK, Status.FAIL]


def test_a_host_without_a_driver_is_said_so_and_examined_to_the_end(tmp_path):
    program = (
        "from pathlib import Path; from collector.doctor import examine; from collector.settings import Settings\n"
        f"for check in examine(Settings(data_dir=Path({str(tmp_path)!r}), find_engines=False)): print(check.name, check.status, check.sentence)"
    )
    environment = {key: text for key, text in os.environ.items() if key != "LD_LIBRARY_PATH"}
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    ).stdout
    if "The driver answers" in told:
        pytest.skip("this host has an NVIDIA driver")
    assert "driver warn No GPU can be read" in told
    assert "disk ok" in told


def test_an_engine_with_everything(checks, web):
    web.answer = lambda handler, _: handler.reply(
        200,
        b'{"version": "0.33.0"}' if handler.path == "/version" else VLLM + b"vllm:kv_cache_usage_perc 0.5\n",
    )
    check = only(checks(engines=(EngineTarget(url=web.url + "/metrics"),)), "engine ")
    assert (check.status, check.hint) == (Status.OK, "")
    assert "vLLM 0.33.0, replicas: 1" in check.sentence


def test_a_renamed_series_is_named_with_its_likely_new_name(checks, web):
    web.answer = VLLM + b"vllm:kv_cache_usage_percent 0.5\n"
    check = only(checks(engines=(EngineTarget(url=web.url + "/metrics"),)), "engine ")
    assert check.status is Status.WARN
    assert (
        "kv_usage_ratio is missing (vllm:kv_cache_usage_perc, renamed to vllm:kv_cache_usage_percent?)"
        in check.hint
    )


@pytest.mark.parametrize(
    ("page", "told"), [(b"<html></html>", "HTML"), (b"python_info 1\n", "no series of a known engine")]
)
def test_what_is_no_engine_is_told(checks, web, page, told):
    web.answer = page
    check = only(checks(engines=(EngineTarget(url=web.url + "/metrics"),)), "engine ")
    assert check.status is Status.FAIL and told in check.sentence


def test_no_engine_is_told(checks):
    assert checks()["engines"].status is Status.WARN
    assert only(checks(find_engines=True), "engine").sentence


def test_the_services_clock_is_compared(checks, web):
    found = checks(server=web.url, token="t")
    assert (found["service"].status, found["clock"].status) == (Status.OK, Status.OK)


def test_a_service_that_is_away_is_told(checks):
    assert checks(server="http://127.0.0.1:1", token="t")["service"].status is Status.FAIL


def test_a_disk_without_room_is_told(checks, monkeypatch):
    class Usage:
        free = 10 * 1024 * 1024

    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: Usage)
    assert checks()["disk"].status is Status.WARN


def test_a_socket_path_that_is_too_long_is_told(checks, tmp_path):
    assert checks(socket=tmp_path / ("x" * 120))["records socket"].status is Status.FAIL
