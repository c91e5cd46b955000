from __future__ import annotations

import json

import pytest

from service.recordings.read import read
from telemetry.identity import Vantage
from telemetry.requests import Finish, Status


def test_csv_rows_become_records_to_the_microsecond(write, requests_csv):
    ok, failed = read(write("any-name", requests_csv())).requests
    assert (ok.started_at_us, ok.ended_at_us) == (1_786_146_446_141_033, 1_786_146_447_657_204)
    assert (ok.ttft_us, ok.e2e_us, ok.prompt_tokens, ok.output_tokens) == (103_500, 1_516_171, 1_578, 64)
    assert (failed.status, failed.http_status, failed.finish) == (Status.ERROR, 500, Finish.ERROR)
    assert failed.ttft_us is None and failed.prompt_tokens is None


def test_gaps_become_buckets_and_the_largest(write, requests_csv):
    ok, failed = read(write("r.csv", requests_csv())).requests
    assert ok.gap_max_us == 117_940 and sum(ok.gap_buckets) == 4 and ok.chunks == 5
    assert ok.gap_buckets[0] == 1 and ok.gap_buckets[5] == 2 and ok.gap_buckets[7] == 1
    assert failed.gap_max_us is None and failed.gap_buckets == ()


def test_packed_and_plain_files_read_alike(write, requests_csv):
    assert read(write("a.gz", requests_csv())).requests == read(write("b", requests_csv())).requests


def test_jsonl_rows_keep_the_text_of_their_numbers(write):
    row = {"request_id": "x", "tenant": "acme", "model": "m", "send_ts": "SENT",
           "ttft_ms": 103.5, "e2e_ms": 1516.171, "itls_ms": [19.7, 0.02], "completion_tokens": 3}  # fmt: skip
    text = "\n".join(json.dumps(row | {"request_id": name}) for name in "xy")
    text = text.replace('"SENT"', "1786146446.1410335000")  # more digits than a double holds
    record = read(write("r.jsonl", text)).requests[0]
    assert (record.request_id, record.tenant, record.model) == ("x", "acme", "m")
    assert (record.started_at_us, record.ttft_us, record.e2e_us) == (
        1_786_146_446_141_034,
        103_500,
        1_516_171,
    )
    assert record.gap_max_us == 19_700


def test_one_json_line_is_a_row(write):
    assert len(read(write("r", '{"send_ts": 1786146446, "e2e_s": 1}\n')).requests) == 1


def test_own_column_names_are_known(write):
    header = "request_id,tenant,replica,model,status,started_at_us,ended_at_us,e2e_us,queue_us"
    record = read(write("r", f"{header}\na,t,r0,m,aborted,1000,3000,2000,5\n")).requests[0]
    assert (record.status, record.replica, record.queue_us) == (Status.ABORTED, "r0", 5)
    assert (record.started_at_us, record.ended_at_us) == (1_000, 3_000)


def test_iso_instants_are_utc_unless_they_say_otherwise(write):
    rows = "started_at,e2e_s\n2026-08-08T02:00:00+02:00,1\n2026-08-08T00:00:00.25,1\n"
    first, second = read(write("r", rows)).requests
    assert second.started_at_us - first.started_at_us == 250_000


def test_id_without_naming_columns_comes_from_the_row(write):
    rows = "send_ts,e2e_s\n1786146446,1\n1786146446,1\n1786146446,2\n"
    path = write("r", rows)
    ids = [record.request_id for record in read(path).requests]
    assert len(set(ids)) == 3
    assert ids == [record.request_id for record in read(path).requests]


def test_folder_is_one_recording(write, requests_csv, answer):
    write("seed1.csv", requests_csv())
    write("seed2.csv.gz", requests_csv("2,0,1786146446,0.1,1,10,5,ok,,"))
    write("run.json", json.dumps({"window": {"start_ts": 1786146445, "end_ts": 1786147160}}, indent=1))
    metric = {"__name__": "vllm:num_requests_running", "instance": "h:8000", "model_name": "m"}
    folder = write("prom/running.json", answer((metric, [[1786146445, "3"]]))).parents[1]
    recording = read(folder)
    assert (recording.name, len(recording.requests), len(recording.engine_samples)) == ("run", 3, 1)
    assert recording.window_us == (1_786_146_445_000_000, 1_786_147_160_000_000)
    assert {record.model for record in recording.requests} == {"m"}


def test_window_is_the_extent_of_the_rows_when_none_is_stated(write, requests_csv):
    recording = read(write("r", requests_csv()))
    assert recording.window_us == (1_786_146_446_141_033, 1_786_146_447_657_204)


def test_unknown_file_in_a_folder_is_told_and_left_out(write, requests_csv):
    write("notes.md", "# what we did\n")
    write("plot.png", b"\x89PNG\r\n\x1a\n\0\0\0\xff")
    recording = read(write("r.csv", requests_csv()).parent)
    assert len(recording.requests) == 2
    assert {note for note in recording.notes if "left out" in note} == {
        "notes.md: not a recording this program knows; left out",
        "plot.png: not a recording this program knows; left out",
    }


def test_unused_columns_are_told(write, requests_csv):
    recording = read(write("r.csv", "send_ts,e2e_s,mood\n1786146446,1,good\n"))
    assert "r.csv: no column of ours for mood" in recording.notes


def test_progress_tells_the_rows_done(write, requests_csv):
    heard = []
    rows = [f"1,{index},1786146446,0.1,1,10,5,ok,," for index in range(4_500)]
    read(write("r.csv", requests_csv(*rows)), progress=lambda _file, done: heard.append(done))
    assert heard == [2_000, 4_000, 4_500]


def test_dcgm_rows_become_samples(write):
    header = "ts,metric,gpu,hostname,UUID,modelName,value\n"
    rows = [
        "1786146442.414,DCGM_FI_DEV_GPU_UTIL,0,w0,GPU-1,NVIDIA A10,47.0",
        "1786146442.414,DCGM_FI_DEV_FB_USED,0,w0,GPU-1,NVIDIA A10,2048",
        "1786146442.414,DCGM_FI_DEV_SOMETHING,0,w0,GPU-1,NVIDIA A10,1",
        "1786146442.414,DCGM_FI_PROF_SM_ACTIVE,0,w0,GPU-1,NVIDIA A10,nan",
    ]
    recording = read(write("d", header + "\n".join(rows)))
    (sample,) = recording.gpu_samples
    assert (sample.gpu_uuid, sample.gpu_model, sample.gpu_index) == ("GPU-1", "NVIDIA A10", 0)
    assert (sample.kernel_busy_ratio, sample.memory_used_bytes) == (0.47, 2 * 1024**3)
    assert sample.sm_activity_ratio is None
    assert any("DCGM_FI_DEV_SOMETHING" in note for note in recording.notes)


def test_dcgm_series_in_prometheus_become_samples(write, answer):
    labels = {"__name__": "DCGM_FI_DEV_POWER_USAGE", "Hostname": "w0", "gpu": "1", "instance": "x:9400"}
    (sample,) = read(write("p", answer((labels, [[1786146445, "99.5"]])))).gpu_samples
    assert (sample.gpu_uuid, sample.power_watts) == ("w0/gpu-1", 99.5)


def test_series_named_with_underscores_are_known(write, answer):
    text = json.dumps({"vllm_num_requests_waiting": json.loads(answer(({"instance": "h:1"}, [[5, "7"]])))})
    (sample,) = read(write("p", text)).engine_samples
    assert (sample.replica, sample.requests_waiting, sample.at_us) == ("h:1", 7, 5_000_000)


def test_data_parallel_ranks_are_replicas(write, answer):
    series = [
        ({"__name__": "vllm:num_requests_running", "instance": "h:1", "engine": rank}, [[5, "1"]])
        for rank in "01"
    ]
    samples = read(write("p", answer(*series))).engine_samples
    assert [sample.replica for sample in samples] == ["h:1", "h:1#1"]


def test_router_job_is_another_vantage(write, answer):
    own = {"__name__": "vllm:num_requests_running", "instance": "h:1", "job": "engines"}
    told = {
        "__name__": "vllm:num_requests_running",
        "instance": "rt:80",
        "job": "router",
        "server": "http://h:1",
    }
    samples = read(write("p", answer((own, [[5, "1"]]), (told, [[5, "9"]])))).engine_samples
    assert {(s.vantage, s.replica, s.requests_running) for s in samples} == {
        (Vantage.ENGINE, "h:1", 1), (Vantage.EDGE, "h:1", 9),
    }  # fmt: skip


def test_engine_scraped_by_two_jobs_counts_once(write, answer):
    series = [
        ({"__name__": "vllm:num_requests_running", "instance": "h:1", "job": job}, [[5, "4"]]) for job in "ab"
    ]
    recording = read(write("p", answer(*series)))
    assert [sample.requests_running for sample in recording.engine_samples] == [4]
    assert "h:1 was scraped by more than one job; 'b' is left out" in recording.notes


def test_values_that_are_no_numbers_are_not_measured(write, answer):
    points = [[5, "NaN"], [10, "+Inf"], [15, "0.5"]]
    name = {"__name__": "vllm:kv_cache_usage_perc", "instance": "h:1"}
    samples = read(write("p", answer((name, points)))).engine_samples
    assert [(sample.at_us, sample.kv_usage_ratio) for sample in samples] == [(15_000_000, 0.5)]


@pytest.mark.parametrize("text", ["0.1", "1"])
def test_name_without_a_unit_is_not_guessed_at(write, text):
    recording = read(write("r.csv", f"send_ts,e2e_s,ttft\n1786146446,1,{text}\n"))
    assert recording.requests[0].ttft_us is None
    assert "r.csv: no column of ours for ttft" in recording.notes
