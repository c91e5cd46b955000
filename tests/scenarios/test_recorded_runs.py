"""The three recorded real runs through the real command, against recounts of their files.

Acceptance: timings, failures, goodput, findings and the bill of `inferometer import` are those
of the recorded rows, a second import of the same changes nothing, and objectives asked of what was
imported (`inferometer slo backtest`) count the same requests as a recount and page for one run alone.
"""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

import pytest

pytestmark = [pytest.mark.shared, pytest.mark.xdist_group("recorded-runs")]

RUNS = ("roundrobin", "kvaware", "loadaware-b0.5")
ASKED = ("--limit", "ttft=2s", "--limit", "tpot=100ms", "--price", "A10=1.10", "--json")
A10_NANO_PER_HOUR = 1_100_000_000
COUNT_ROWS = """
import sys
from service.store.facts import Facts
facts = Facts.open(f"clickhousedb:///?interface=chdb&path={sys.argv[1]}/facts")
tables = ("requests", "gpu_samples", "engine_samples", "placements", "events", "count_cells", "ledger", "evidence")
print([facts.query(f"SELECT count() AS n FROM {name}")["n"][0].as_py() for name in tables])
facts.close()
"""


MLPERF_MS = (
    (2000, 100), (500, 30), (2000, 200), (450, 40), (6000, 175), (4500, 80),
    (2000, 200), (2000, 80), (1500, 15), (3000, 80), (2000, 20),
)  # fmt: skip
OBJECTIVE = """\
apiVersion: openslo/v1
kind: SLO
metadata: {{name: {name}}}
spec:
  service: chat
  indicator:
    metadata: {{name: {name}}}
    spec:
      ratioMetric:
        counter: true
        good: {{metricSource: {{type: inferometer, spec: {{{good}}}}}}}
        total: {{metricSource: {{type: inferometer, spec: {{indicator: requests}}}}}}
  timeWindow: [{{duration: 30d, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{target: 0.99}}]
"""


@dataclass(frozen=True)
class Imported:
    """What the first and the second import answered, the rows held after each, and where they are."""

    first: dict
    second: dict
    rows: list
    into: object


def run(*arguments):
    ended = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.returncode == 0 and "Traceback" not in ended.stderr, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def folders(shared):
    """Return the folder of each run."""
    return {name: next((shared / "traces/nolicence").glob(f"vllm-2xA10-*-{name}")) for name in RUNS}


@pytest.fixture(scope="module")
def imported(folders, tmp_path_factory):
    """Import all three runs into one directory, twice."""
    into = tmp_path_factory.mktemp("imported") / "kept"
    command = ("-m", "inferometer", "import", *folders.values(), "--into", into, *ASKED)
    answers, rows = [], []
    for _ in range(2):
        answers.append(dict(zip(RUNS, json.loads(run(*command)), strict=True)))
        rows.append(run("-c", COUNT_ROWS, into))
    return Imported(*answers, rows, into)


@pytest.fixture(scope="module")
def recorded(folders):
    """Return the request rows of each run, as recorded."""

    def read(folder):
        with gzip.open(folder / "requests.csv.gz", "rt") as lines:
            return list(csv.DictReader(lines))

    return {name: read(folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def scraped(folders):
    """Return the engines' own samples of a run: scraped(run) -> {replica: [(at, running, waiting, kv)]}."""
    names = ("vllm_num_requests_running", "vllm_num_requests_waiting", "vllm_kv_cache_usage_perc")

    def read(name):
        with gzip.open(folders[name] / "prometheus_query_range.json.gz") as file:
            dump = json.load(file)
        found: dict = {}
        for place, series in enumerate(names):
            for each in dump[series]["data"]["result"]:
                if each["metric"]["job"] != "router":
                    rows = found.setdefault(each["metric"]["instance"], {})
                    for at, value in each["values"]:
                        rows.setdefault(at, [None] * 3)[place] = float(value)
        return {
            replica: [(at, *values) for at, values in sorted(rows.items())] for replica, rows in found.items()
        }

    return read


def stood_empty(samples, start, end):
    """Return the longest time in [start, end] over which every sample of a replica had nothing to do."""
    longest, since = 0.0, None
    for at, running, waiting, _ in samples:
        idle = start <= at <= end and running == 0 and waiting == 0
        since = (at if since is None else since) if idle else None
        longest = max(longest, at - since) if since is not None else longest
    return longest


@pytest.mark.parametrize(("name", "failures"), list(zip(RUNS, (5, 54, 35), strict=True)))
def test_requests_and_failures_are_those_of_a_recount(imported, recorded, name, failures):
    told = imported.first[name]
    assert (told["requests"], told["errors"]) == (10_000, failures)
    assert told["errors"] == sum(row["status"] != "ok" for row in recorded[name])


def test_time_to_first_token_is_as_recorded(imported):
    told = imported.first["roundrobin"]["ttft_seconds"]
    assert [told[mark] for mark in ("p50", "p95", "p99")] == pytest.approx([0.97, 11.8, 14.8], rel=0.01)


@pytest.mark.parametrize("name", RUNS)
def test_every_spread_is_made_of_recorded_values(imported, recorded, name):
    rows = [row for row in recorded[name] if row["status"] == "ok"]
    ttft = [float(row["ttft_s"]) for row in rows]
    e2e = [float(row["e2e_s"]) for row in rows]
    tokens = [int(row["completion_tokens"]) for row in rows]
    tpot = [(whole - first) / (n - 1) for whole, first, n in zip(e2e, ttft, tokens, strict=True) if n > 1]
    for told, values in (("ttft_seconds", ttft), ("tpot_seconds", tpot), ("e2e_seconds", e2e)):
        expected = [sorted(values)[len(values) * share // 100] for share in (50, 95, 99)]
        assert list(imported.first[name][told].values()) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(("name", "good"), list(zip(RUNS, (1_710, 8_186, 9_542), strict=True)))
def test_joint_goodput_is_exact(imported, name, good):
    assert imported.first[name]["goodput"] == {"good": good, "total": 10_000}


def test_roundrobin_is_an_overload_and_no_stall(imported, scraped):
    findings = imported.first["roundrobin"]["findings"]
    overloads = [finding for finding in findings if finding["class"] == "capacity"]
    assert overloads and not {"A1", "A2", "A6"} & {finding["class"] for finding in findings}
    samples = [sample for rows in scraped("roundrobin").values() for sample in rows]
    for finding in overloads:
        inside = [s for s in samples if finding["start"] <= s[0] <= finding["end"]]
        assert any(waiting > 0 and usage >= 0.9 for _, _, waiting, usage in inside)
        assert finding["replicas"] and finding["evidence"] and "requests waited" in finding["cause"]


def test_overloads_of_one_pool_lie_a_minute_apart(imported):
    for told in imported.first.values():
        spans = sorted((f["start"], f["end"]) for f in told["findings"] if f["class"] == "capacity")
        assert all(later[0] - earlier[1] >= 60 for earlier, later in pairwise(spans))


@pytest.mark.parametrize("name", RUNS)
def test_an_imbalance_is_found_only_where_a_replica_stood_empty(imported, scraped, name):
    samples = scraped(name)
    for finding in imported.first[name]["findings"]:
        if finding["class"] == "A9":
            assert max(stood_empty(rows, finding["start"], finding["end"]) for rows in samples.values()) >= 15


def test_loadaware_is_well(imported):
    assert imported.first["loadaware-b0.5"]["findings"] == []


def test_kvaware_has_no_stall(imported):
    assert not {"A1", "A2", "A6"} & {finding["class"] for finding in imported.first["kvaware"]["findings"]}


@pytest.mark.parametrize("name", RUNS)
def test_the_ledger_is_the_bill_is_gpus_times_span_times_price(imported, folders, name):
    window = json.loads((folders[name] / "run.json").read_text())["window"]
    each = int(window["end_ts"] - window["start_ts"]) * A10_NANO_PER_HOUR // 3_600
    cost = imported.first[name]["cost"]
    assert sum(cost["ledger_nano"].values()) == cost["bill_nano"] == 2 * each
    if name == "roundrobin":
        assert cost["bill_nano"] == 597_055_554


@pytest.mark.parametrize("name", RUNS)
def test_what_was_assumed_is_said(imported, name):
    notes = imported.first[name]["notes"]
    assert sum("the only price given" in note for note in notes) == 2
    assert any("no UUIDs" in note for note in notes)


def test_a_second_import_answers_the_same_and_adds_no_row(imported):
    assert imported.second == imported.first
    assert imported.rows[0] == imported.rows[1]
    assert imported.rows[0].startswith("[30000, ")


@pytest.fixture(scope="module")
def asked(imported, tmp_path_factory):
    """Ask the imports by MLPerf's limits, alone and jointly: {(run, limits in ms): (good, total, pages)}."""
    limits = {
        **{f"both-{ttft}-{tpot}": f"indicator: goodput, ttft: {ttft}ms, tpot: {tpot}ms" for ttft, tpot in MLPERF_MS},
        **{f"ttft-{ttft}": f"indicator: ttft, limit: {ttft}ms" for ttft, _ in MLPERF_MS},
        **{f"tpot-{tpot}": f"indicator: tpot, limit: {tpot}ms" for _, tpot in MLPERF_MS},
    }  # fmt: skip
    file = tmp_path_factory.mktemp("asked") / "mlperf.yaml"
    file.write_text("---\n".join(OBJECTIVE.format(name=name, good=good) for name, good in limits.items()))
    told = run("-m", "inferometer", "slo", "backtest", file, "--dir", imported.into, "--json")
    return {
        (next(name for name in RUNS if each["dataset"].endswith(name)), each["objective"]): (
            each["good"],
            each["total"],
            Counter(alert["severity"] for alert in each["alerts"])["page"],
        )
        for each in json.loads(told)
    }


def kept_by(rows, ttft_ms, tpot_ms):
    """Recount from the recorded text, one request at a time; None = no such limit."""
    good = 0
    for row in rows:
        if row["status"] != "ok":
            continue
        ttft, tokens = Decimal(row["ttft_s"]), int(row["completion_tokens"])
        pace = (Decimal(row["e2e_s"]) - ttft) / (tokens - 1) if tokens > 1 else Decimal(0)
        in_time = ttft_ms is None or ttft * 1_000 <= ttft_ms
        good += in_time and (tpot_ms is None or pace * 1_000 <= tpot_ms)
    return good


@pytest.mark.parametrize("name", RUNS)
def test_mlperfs_limits_alone_and_jointly_equal_a_recount(asked, recorded, name):
    for ttft_ms, tpot_ms in MLPERF_MS:
        for objective, limits in (
            (f"both-{ttft_ms}-{tpot_ms}", (ttft_ms, tpot_ms)),
            (f"ttft-{ttft_ms}", (ttft_ms, None)),
            (f"tpot-{tpot_ms}", (None, tpot_ms)),
        ):
            assert asked[name, objective][:2] == (kept_by(recorded[name], *limits), 10_000), objective


def test_mlperfs_limits_jointly_for_roundrobin_are_those_of_the_reference(asked):
    jointly = [asked["roundrobin", f"both-{ttft}-{tpot}"][0] for ttft, tpot in MLPERF_MS]
    assert jointly == [1710, 146, 3335, 332, 3236, 1456, 3335, 1326, 0, 1403, 0]


def test_two_seconds_to_the_first_token_page_for_roundrobin_and_for_no_other(asked):
    assert {name: asked[name, "ttft-2000"][2] for name in RUNS} == {
        "roundrobin": 1,
        "kvaware": 0,
        "loadaware-b0.5": 0,
    }
