"""Bad input: a clear located error, no traceback of ours, nothing guessed."""

from __future__ import annotations

import gzip
import json

import pytest

from service.recordings import content
from service.recordings.read import read
from service.recordings.recording import RecordingError


def error_of(path, **options):
    with pytest.raises(RecordingError) as caught:
        read(path, **options)
    return str(caught.value).replace(str(path), "FILE")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1,0,1786146446,fast,1,1,1,ok,,", "read FILE, line 2, column ttft_s: 'fast' is not a number; "),
        ("1,0,1786146446,0.1,-1,1,1,ok,,", "column e2e_s: '-1' is negative or too long for a duration; "),
        ("1,0,1786146446,inf,1,1,1,ok,,", "column ttft_s: 'inf' is not a finite number; "),
        (
            "1,0,1786146446,0.1,1,1.5,1,ok,,",
            "column prompt_tokens: '1.5' is not a whole number of 0 or more; ",
        ),
        (
            "1,0,1786146446000,0.1,1,1,1,ok,,",
            "column send_ts: 1,786,146,446,000,000,000 microseconds is not between",
        ),
        ("1,0,1786146446,0.1,1,1,1,fine,,", "column status: 'fine' is no outcome; known are abort, "),
        ("1,0,1786146446,0.1,,1,1,ok,,", "line 2: no end-to-end duration; "),
        (
            "1,0,1786146446,0.1,1,1,1,ok,,1.0;x",
            "line 2, column itls_ms: could not convert string to float: 'x'; ",
        ),
        ("1,0,1786146446,0.1,1,1,1,ok,,1.0;-5", "line 2, column itls_ms: a gap is negative"),
        ("1,0,1786146446,0.1,1", "read FILE, line 2: 5 values for 10 columns; was the file cut short?"),
    ],
)
def test_bad_row_is_located_with_cause_and_hint(write, requests_csv, row, said):
    assert said in error_of(write("r.csv", requests_csv(row)))


def test_tolerated_rows_are_skipped_counted_and_told(write, requests_csv):
    good = "1,{},1786146446,0.1,1,10,5,ok,,1.5"
    bad = ("1,8,1786146446,fast,1,1,1,ok,,", "1,9,1", "1,7,1786146446,0.1,1,1,1,ok,,x")
    path = write("r.csv", requests_csv(good.format(1), *bad, good.format(2)))
    recording = read(path, tolerated_rows=3)
    assert [record.request_id for record in recording.requests] == ["1/1", "1/2"]
    assert recording.skipped_rows == 3
    assert any("unreadable rows were skipped, the first: read" in note for note in recording.notes)
    assert "line" in error_of(path, tolerated_rows=2)


def test_json_line_that_is_cut_is_located(write):
    text = '{"send_ts": 1, "e2e_s": 1}\n{"send_ts": 1, "e2e'
    assert "read FILE, line 2: not JSON" in error_of(write("r.jsonl", text))


def test_json_line_that_is_no_object_is_located(write):
    text = '{"send_ts": 1, "e2e_s": 1}\n[1, 2]\n'
    assert "read FILE, line 2: not a JSON object" in error_of(write("r.jsonl", text))


def test_whole_json_that_is_cut_is_located(write):
    assert "read FILE, line 2: not JSON" in error_of(write("p.json", '{\n "status": "succ'))


def test_packed_file_that_is_cut_is_damaged(write, requests_csv):
    packed = gzip.compress(requests_csv(*[f"1,{i},1786146446,0.1,1,10,5,ok,," for i in range(999)]).encode())
    assert "read FILE: damaged gzip" in error_of(write("r.bin", packed[:-20]))


def test_text_that_is_not_utf8_is_said_so(write, requests_csv):
    assert "byte 0xe9 is not UTF-8; save it as UTF-8" in error_of(
        write("r.csv", requests_csv().encode() + b"\xe9")
    )


def test_unknown_content_says_what_is_known(write):
    assert "nothing in it is known; request rows" in error_of(write("r.csv", "a,b\n1,2\n"))


def test_empty_file_and_empty_folder_hold_nothing(write, tmp_path):
    assert "nothing in it is known" in error_of(write("r.csv", ""))
    (tmp_path / "void").mkdir()
    assert "nothing in it is known" in error_of(tmp_path / "void")


def test_path_that_is_not_there_is_said_so(tmp_path):
    assert error_of(tmp_path / "no") == "read FILE: no such file or folder; check the path"


def test_line_past_the_bound_is_refused(write, requests_csv, monkeypatch):
    monkeypatch.setattr(content, "MAX_LINE", 1_000)
    row = "1,0,1786146446,0.1,1,10,5,ok,," + "1.0;" * 1_000
    assert "a line of more than 1,000 characters" in error_of(write("r.csv.gz", requests_csv(row)))


def test_one_long_json_line_is_not_a_long_row(write, requests_csv, monkeypatch):
    monkeypatch.setattr(content, "MAX_LINE", 1_000)
    points = [[at, "1"] for at in range(5, 500)]
    result = [{"metric": {"__name__": "vllm:num_requests_running", "instance": "h:1"}, "values": points}]
    text = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})
    assert len(read(write("p.json", text)).engine_samples) == 495


def test_json_past_the_bound_is_refused(write, monkeypatch):
    monkeypatch.setattr(content, "MAX_JSON", 1_000)
    assert "more than 1,000 characters" in error_of(write("p.gz", '{\n"a": "' + "x" * 5_000 + '"}'))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            {"status": "error", "error": "query timed out"},
            "Prometheus answered with an error (query timed out)",
        ),
        ({"status": "success"}, "not a query_range answer (KeyError('data'))"),
        (
            {"status": "success", "data": {"resultType": "vector", "result": []}},
            "a result of type vector, not matrix",
        ),
        (
            {
                "status": "success",
                "data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[1]]}]},
            },
            "not a query_range answer (ValueError",
        ),
    ],
)
def test_bad_prometheus_answer_is_located(write, value, said):
    said_of = error_of(write("p.json", json.dumps({"up": value})))
    assert f"read FILE, column up: {said}" in said_of
    assert said_of.endswith("save the answer of /api/v1/query_range")


def test_bad_window_is_located(write, requests_csv):
    write("r.csv", requests_csv())
    folder = write("run.json", json.dumps({"window": {"start_ts": 5, "end_ts": 2}})).parent
    assert "run.json, column window: it ends before it starts; " in error_of(folder)


def test_two_windows_in_one_folder_are_two_recordings(tmp_path):
    for run, hour in (("a", "10"), ("b", "11")):
        (tmp_path / run).mkdir()
        window = (
            f'{{"window": {{"start_ts": "2026-08-08T{hour}:00:00Z", "end_ts": "2026-08-08T{hour}:30:00Z"}}}}'
        )
        (tmp_path / run / "run.json").write_text(window)
    said = error_of(tmp_path)
    assert "run.json, column window: a second window" in said and "each recording's own folder" in said


def test_unreadable_dcgm_row_is_located(write):
    text = "ts,metric,gpu,hostname,value\n1786146442,DCGM_FI_DEV_GPU_UTIL,0,w0,much\n"
    assert "line 2, column value: 'much' is not a number" in error_of(write("d.csv", text))
