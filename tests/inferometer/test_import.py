"""`inferometer import` at the command line: one object, an array, a person's page, and mistakes."""

from __future__ import annotations

import json

import pytest

LIMITS = ("--limit", "ttft=2s", "--limit", "tpot=100ms")
KEYS = {
    "name", "window", "requests", "errors", "ttft_seconds", "tpot_seconds", "e2e_seconds", "goodput", "findings",
    "cost", "load", "notes",
}  # fmt: skip


def test_one_recording_is_one_object_with_null_for_what_was_not_measured(process, recording):
    said = process("import", recording(), *LIMITS, "--price", "A10=1.10", "--json")
    told = json.loads(said.out)
    assert said.code == 0 and set(told) == KEYS
    assert (told["requests"], told["errors"], told["goodput"]) == (3, 1, {"good": 1, "total": 3})
    assert told["ttft_seconds"] == {"p50": 3.0, "p95": 3.0, "p99": 3.0}
    assert told["tpot_seconds"]["p50"] == 0.1
    assert (told["findings"], told["cost"]) == (None, None)
    assert any("no bill" in note for note in told["notes"])


def test_several_recordings_are_an_array_in_their_order_and_share_a_store(process, recording):
    said = process("import", recording("b"), recording("a"), "--json")
    told = json.loads(said.out)
    assert [each["name"] for each in told] == ["b", "a"]
    assert [each["requests"] for each in told] == [3, 3]
    assert told[0]["goodput"] is None
    assert "b: 3 requests" in said.err


def test_a_person_reads_what_was_measured_and_what_was_not(process, recording):
    said = process("import", recording(), *LIMITS)
    assert "3, of which 1 failed (33.33 %)" in said.out
    assert "1 of 3 (33.33 %) kept ttft=2s, tpot=100ms" in said.out
    assert "cost                not asked for: give the price" in said.out
    assert "findings            not measured" in said.out


def test_a_trace_of_arrivals_is_its_load_and_no_latency(process, tmp_path):
    (tmp_path / "conv.csv").write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.680590,374,44\n2023-11-16 18:15:50.951848,396,109\n"
    )
    told = json.loads(process("import", "conv.csv", *LIMITS, "--json").out)
    assert (told["requests"], told["errors"], told["ttft_seconds"], told["goodput"]) == (2, None, None, None)
    assert (told["load"]["prompt_tokens"], told["load"]["output_tokens"]) == (770, 153)
    assert told["load"]["span_seconds"] == pytest.approx(4.271258)


def test_changed_rows_under_the_same_name_are_another_dataset(process, recording, tmp_path):
    first = json.loads(process("import", recording(), "--into", tmp_path / "kept", "--json").out)
    changed = recording(rows=("1,0,1786146446.0,0.5,1.5,100,11,ok,",))
    second = json.loads(process("import", changed, "--into", tmp_path / "kept", "--json").out)
    assert (first["requests"], second["requests"]) == (3, 1)


def test_unreadable_rows_are_tolerated_up_to_the_number_given(process, recording):
    broken = recording(rows=("1,0,1786146446.0,0.5,1.5,100,11,ok,", "1,1,never,0.5,1.5,100,11,ok,"))
    refused = process("import", broken)
    assert refused.code == 1 and "line 3, column send_ts: 'never'" in refused.err
    told = json.loads(process("import", broken, "--tolerate", "1", "--json").out)
    assert told["requests"] == 1 and any("unreadable rows were skipped" in note for note in told["notes"])


@pytest.mark.parametrize(
    ("arguments", "code", "cause"),
    [
        (("--limit", "tftt=2s"), 1, "'tftt=2s' limits nothing known; did you mean ttft?"),
        (("--limit", "ttft=2"), 1, "'2' is not a duration"),
        (("--limit", "ttft=1s", "--limit", "ttft=2s"), 1, "limited twice"),
        (("--limit", "ttft=0s"), 1, "longer than nothing"),
        (("--price", "1.10"), 1, "write MODEL=AMOUNT"),
        (("--price", "A10=cheap"), 1, "not an amount"),
        (("--price", "A10=-1"), 1, "outside 0"),
        (("--tolerate", "-1"), 2, "--tolerate"),
    ],
)
def test_a_mistaken_option_is_said_before_anything_is_read(cli, recording, arguments, code, cause):
    said = cli("import", recording(), *arguments)
    assert said.code == code and cause in said.err and not said.out


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("absent.csv", None, "no such file or folder"),
        ("notes.txt", b"nothing to see", "nothing in it is known"),
        ("cut.csv.gz", b"\x1f\x8b\x08\x00garbage", "cut.csv.gz"),
        ("deep.json", b"[" * 100_000, "deep.json"),
    ],
)
def test_what_is_no_recording_is_said_with_its_place(process, tmp_path, name, content, cause):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    said = process("import", name)
    assert said.code == 1 and cause in said.err and name in said.err and not said.out


def test_a_directory_that_a_service_holds_is_refused(cli, service, recording):
    said = cli("import", recording(), "--into", service.data_dir)
    assert said.code == 1 and f"the service at {service.url} holds this directory" in said.err


def test_a_file_is_no_directory_to_import_into(cli, recording, tmp_path):
    (tmp_path / "taken").write_text("")
    said = cli("import", recording(), "--into", tmp_path / "taken")
    assert said.code == 1 and "taken: File exists" in said.err


def test_nothing_is_left_behind_without_into(process, recording, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    assert process("import", recording(), "--json").code == 0
    assert not list(scratch.iterdir())
