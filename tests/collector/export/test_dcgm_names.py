"""The agent stands in for dcgm-exporter: its names on a page that Prometheus and its dashboards take."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict

import pytest

from collector.agent import Agent
from collector.export.dcgm import DcgmPage
from collector.export.dcgm_names import HOSTNAME_LABELS, NOT_SERVED, SERIES, XID
from collector.settings import EngineTarget, Settings
from telemetry.columns import TABLE
from telemetry.samples import GpuSample

ENGINE = b'vllm:num_requests_running{engine="0",model_name="m"} 3\nvllm:kv_cache_usage_perc{engine="0"} 0.5\n'
SECOND = 1_000_000
CAMEL = "label names should be written in 'snake_case' not 'camelCase'"
TOTAL = 'counter metrics should have "_total" suffix'
COMPLAINTS = {
    # dcgm-exporter's own name -> what promtool says of it beside CAMEL, which its label modelName
    # earns every series. Each is kept as it is because dashboards and rules ask for it by that name.
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": {TOTAL},
    "DCGM_FI_DEV_PCIE_REPLAY_COUNTER": {TOTAL, "metric name should not include type 'counter'"},
    "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS": {TOTAL},
    "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS": {TOTAL},
    "DCGM_FI_DEV_POWER_VIOLATION": {TOTAL},
    "DCGM_FI_DEV_THERMAL_VIOLATION": {TOTAL},
    "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL": {TOTAL},
    "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": {TOTAL},
}

GAUGES = (
    "SM_CLOCK MEM_CLOCK MEMORY_TEMP GPU_TEMP POWER_USAGE GPU_UTIL MEM_COPY_UTIL ENC_UTIL DEC_UTIL XID_ERRORS "
    "FB_FREE FB_USED FB_RESERVED VGPU_LICENSE_STATUS ROW_REMAP_FAILURE"
)
COUNTERS = (
    "TOTAL_ENERGY_CONSUMPTION PCIE_REPLAY_COUNTER RETIRED_SBE RETIRED_DBE NVLINK_BANDWIDTH_TOTAL "
    "UNCORRECTABLE_REMAPPED_ROWS CORRECTABLE_REMAPPED_ROWS"
)
PROFILED = "GR_ENGINE_ACTIVE PIPE_TENSOR_ACTIVE DRAM_ACTIVE PCIE_TX_BYTES PCIE_RX_BYTES"
DEFAULTS = {
    **{f"DCGM_FI_DEV_{name}": "gauge" for name in GAUGES.split()},
    **{f"DCGM_FI_DEV_{name}": "counter" for name in COUNTERS.split()},
    **{f"DCGM_FI_PROF_{name}": "gauge" for name in PROFILED.split()},
}
"""What dcgm-exporter's own list switches on, with its types."""


def gpu(**given):
    known = {
        "at_us": SECOND,
        "gpu_uuid": "GPU-a",
        "host": "node-1",
        "gpu_index": 3,
        "gpu_model": "NVIDIA H100 80GB HBM3",
        "pci_bus_id": "00000000:04:00.0",
        "driver_version": "595.71.05",
    }
    return GpuSample(**known | given)


def lines_of(page, *rows, name):
    return [line for line in page.render(rows).decode().splitlines() if line.startswith(f"{name}{{")]


def test_labels_stand_in_dcgm_exporters_order_and_spelling():
    (line,) = lines_of(DcgmPage("Hostname"), gpu(power_watts=310.5), name="DCGM_FI_DEV_POWER_USAGE")
    assert line == (
        'DCGM_FI_DEV_POWER_USAGE{gpu="3",UUID="GPU-a",pci_bus_id="00000000:04:00.0",device="nvidia3",'
        'modelName="NVIDIA H100 80GB HBM3",Hostname="node-1",DCGM_FI_DRIVER_VERSION="595.71.05"} 310.5'
    )


@pytest.mark.parametrize("label", HOSTNAME_LABELS)
def test_the_hosts_label_is_the_one_chosen(label):
    (line,) = lines_of(DcgmPage(label), gpu(temperature_celsius=40.0), name="DCGM_FI_DEV_GPU_TEMP")
    assert f',{label}="node-1",' in line


@pytest.mark.parametrize(
    ("column", "value", "name", "told"),
    [
        ("kernel_busy_ratio", 0.29, "DCGM_FI_DEV_GPU_UTIL", "29"),
        ("kernel_busy_ratio", 0.0, "DCGM_FI_DEV_GPU_UTIL", "0"),
        ("kernel_busy_ratio", 0.29, "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "0.29"),
        ("decoder_busy_ratio", 0.3, "DCGM_FI_DEV_DEC_UTIL", "30"),
        ("memory_used_bytes", 61_440 << 20, "DCGM_FI_DEV_FB_USED", "61440"),
        ("energy_millijoules_total", 5_000_123, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "5000123"),
        ("throttle_power_us_total", 7, "DCGM_FI_DEV_POWER_VIOLATION", "7000"),
        ("remap_failed", True, "DCGM_FI_DEV_ROW_REMAP_FAILURE", "1"),
        ("remap_failed", False, "DCGM_FI_DEV_ROW_REMAP_FAILURE", "0"),
    ],
)
def test_units_are_dcgm_exporters(column, value, name, told):
    (line,) = lines_of(DcgmPage("Hostname"), gpu(**{column: value}), name=name)
    assert line.rpartition(" ")[2] == told


def test_what_was_not_measured_has_no_series_and_no_heading():
    assert DcgmPage("Hostname").render([gpu(up=False)]) == b""


def test_two_mig_instances_of_one_profile_are_two_series():
    instance = {"mig_parent_uuid": "GPU-a", "mig_profile": "1g.10gb", "memory_used_bytes": 1 << 20}
    rows = [gpu(gpu_uuid=f"MIG-{number}", mig_instance=number, **instance) for number in (7, 8)]
    lines = lines_of(DcgmPage("Hostname"), *rows, name="DCGM_FI_DEV_FB_USED")
    assert [line.partition("UUID=")[2].partition("Hostname")[0] for line in lines] == [
        '"GPU-a",pci_bus_id="00000000:04:00.0",device="nvidia3",modelName="NVIDIA H100 80GB HBM3",'
        f'GPU_I_PROFILE="1g.10gb",GPU_I_ID="{number}",'
        for number in (7, 8)
    ]


def test_two_parts_of_one_mig_instance_are_one_series():
    part = {
        "mig_parent_uuid": "GPU-a",
        "mig_profile": "1c.3g.40gb",
        "mig_instance": 1,
        "memory_used_bytes": 5,
    }
    page = DcgmPage("Hostname")
    rows = [gpu(gpu_uuid=uuid, **part) for uuid in ("MIG-1", "MIG-2")]
    assert len(lines_of(page, *rows, name="DCGM_FI_DEV_FB_USED")) == 1
    assert page.render(rows, {}).decode().count("DCGM_FI_DEV_XID_ERRORS{") == 1


def test_link_rates_are_what_a_counter_grew_by_between_two_pages():
    page, name = DcgmPage("Hostname"), "DCGM_FI_PROF_PCIE_TX_BYTES"
    assert lines_of(page, gpu(pcie_tx_bytes_total=1_000), name=name) == []
    later = gpu(at_us=3 * SECOND, pcie_tx_bytes_total=5_000)
    assert lines_of(page, later, name=name)[0].endswith(" 2000.0")
    assert lines_of(page, later, name=name)[0].endswith(" 2000.0")  # the same reading shown again
    page.render([gpu(at_us=4 * SECOND, up=False)])
    assert lines_of(page, gpu(at_us=5 * SECOND, pcie_tx_bytes_total=9_000), name=name)
    page.render([])
    assert lines_of(page, gpu(at_us=6 * SECOND, pcie_tx_bytes_total=9_000), name=name) == []


def test_the_last_xid_bears_its_code_and_words_and_none_is_zero():
    page, name = DcgmPage("Hostname"), "DCGM_FI_DEV_XID_ERRORS"
    told = page.render([gpu(), gpu(gpu_uuid="GPU-b")], {"GPU-b": 79}).decode()
    one, other = [line for line in told.splitlines() if line.startswith(f"{name}{{")]
    assert one.endswith('err_code="0",err_msg="No Error"} 0')
    assert 'UUID="GPU-b"' in other and 'err_code="79",err_msg="' in other and other.endswith("} 79")
    assert name not in page.render([gpu()], None).decode()  # nobody watches, nobody knows


def test_of_dcgm_exporters_own_list_each_is_served_with_its_type_or_has_a_reason():
    served = {series.name: series.kind for series in (*SERIES, XID)}
    assert DEFAULTS.keys() - served.keys() == NOT_SERVED.keys()
    assert {name: kind for name, kind in served.items() if name in DEFAULTS}.items() <= DEFAULTS.items()


def test_every_series_reads_a_column_that_there_is():
    columns = {column.name for column in TABLE["gpu_samples"].columns}
    assert {series.column for series in SERIES} <= columns
    assert len({series.name for series in SERIES}) == len(SERIES)


@pytest.fixture
def agent(tmp_path, make_driver, web):
    """A real agent over the fake driver and an engine, with dcgm-exporter's names."""
    make_driver(gpus=2)
    web.answer = ENGINE
    running = Agent(
        Settings(
            host="node-1",
            data_dir=tmp_path / "agent",
            listen=("127.0.0.1", 0),
            engines=(EngineTarget(url=f"{web.url}/metrics"),),
            interval_seconds=0.1,
            dcgm_names=True,
        )
    )
    running.start()
    yield running
    running.stop()


@pytest.fixture
def promtool():
    """Run Debian's promtool over a page and return its complaints by metric."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed; tests/install_parts.sh brings it")

    def check(page):
        done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
        complaints = defaultdict(set)
        for line in done.stderr.decode().splitlines():
            name, _, said = line.partition(" ")
            complaints[name].add(said)
        return dict(complaints)

    return check


def whole_page(agent, eventually, name=b"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{"):
    wanted = (name, b"DCGM_FI_DEV_XID_ERRORS{")
    return eventually(lambda: (page := agent.exporter.page()) and all(one in page for one in wanted) and page)


def test_promtool_has_nothing_to_say_about_our_own_names(agent, promtool, eventually):
    eventually(lambda: b"inferometer_engine_kv_usage_ratio{" in agent.exporter.page())
    page = whole_page(agent, eventually)
    assert promtool(page[: page.index(b"# HELP DCGM_")]) == {}


def test_what_promtool_says_about_dcgm_exporters_names_is_known(agent, promtool, eventually):
    page = whole_page(agent, eventually)
    shown = set(re.findall(r"^(DCGM_\w+){", page.decode(), re.MULTILINE))
    assert promtool(page) == {name: {CAMEL} | COMPLAINTS.get(name, set()) for name in shown}
    assert shown >= COMPLAINTS.keys() | {"DCGM_FI_DEV_XID_ERRORS"} and len(shown) >= 20


@pytest.fixture
def prometheus(tmp_path, agent, eventually):
    """Debian's Prometheus scraping the agent; returns a function that asks it a query."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed; tests/install_parts.sh brings it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    target = agent.exporter.url.removeprefix("http://").removesuffix("/metrics")
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 250ms}\n"
        f"scrape_configs: [{{job_name: dcgm, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    storage = f"--storage.tsdb.path={tmp_path / 'tsdb'}"
    command = ["prometheus", f"--config.file={config}", storage, f"--web.listen-address=127.0.0.1:{port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(path, **query):
        url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            return json.load(urllib.request.urlopen(url, timeout=5))["data"]
        except (urllib.error.URLError, ConnectionError):
            return None

    try:
        both = "count(DCGM_FI_PROF_PIPE_TENSOR_ACTIVE) == 2"
        eventually(lambda: (told := ask("query", query=both)) and told["result"], seconds=30)
        yield ask
    finally:
        process.terminate()
        process.wait(10)


def substituted(query, variables):
    for name, values in variables.items():
        query = query.replace(f"${name}", "|".join(values))
    return query


def label_values(ask, query):
    """What Grafana's `label_values(series, label)` asks of Prometheus."""
    series, _, label = query.removeprefix("label_values(").removesuffix(")").rpartition(", ")
    return sorted({found["metric"][label] for found in ask("query", query=series)["result"]})


@pytest.mark.shared
def test_every_query_of_both_official_dashboards_returns_data(shared, prometheus):
    for generation in ("Hostname", "instance"):
        dashboard = json.loads((shared / "fixtures" / "grafana" / f"12239-{generation}.json").read_text())
        variables = {}
        for name, query in dashboard["variables"].items():
            variables[name] = label_values(prometheus, substituted(query, variables))
        assert variables["gpu"] == ["0", "1"]
        assert variables.get("Hostname", ["node-1"]) == ["node-1"]
        answers = {
            title: prometheus("query", query=substituted(query, variables))["result"]
            for title, query in dashboard["panels"].items()
        }
        assert [title for title, found in answers.items() if not found] == []
        assert len(answers) == 8
    (target,) = prometheus("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
