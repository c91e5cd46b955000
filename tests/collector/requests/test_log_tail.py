"""A followed log: rotation, truncation, partial lines, restarts, and lines that are none."""

import json
import os
import time

import pytest

from collector.requests import log_tail
from collector.requests.log_formats import LITELLM
from collector.requests.log_tail import LogTail
from collector.requests.mapped import RecordMaker

NOW = time.time()
NOW_US = int(NOW * 1_000_000)


def line(name, **more):
    said = {"id": name, "model": "m", "status": "success", "startTime": NOW - 1, "endTime": NOW, **more}
    return json.dumps(said) + "\n"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "requests.jsonl"


@pytest.fixture
def follow(tmp_path, log):
    """Begin to follow the log; called again it is another start of the agent."""

    def start(lag_seconds=60.0):
        tail = LogTail(log, RecordMaker(LITELLM, host="node-1"), kept_in=tmp_path, lag_seconds=lag_seconds)
        tail.got = []
        tail.take = lambda: [tail.read(tail.got.extend, NOW_US) for _ in range(6)]
        tail.names = lambda: (tail.take(), [record.request_id for record in tail.got])[1]
        return tail

    return start


def append(path, text):
    with path.open("a") as file:
        file.write(text)


def test_lines_are_records_as_they_are_written(follow, log):
    tail = follow()
    assert tail.names() == []  # the file is not there yet
    append(log, line("a") + line("b"))
    assert tail.names() == ["a", "b"]
    append(log, line("c"))
    assert tail.names() == ["a", "b", "c"] and tail.counts == {"recorded": 3}


def test_what_stood_there_before_is_not_read(follow, log):
    append(log, line("old"))
    tail = follow()
    assert tail.names() == []
    append(log, line("new"))
    assert tail.names() == ["new"]


def test_a_line_is_read_when_it_is_whole(follow, log):
    tail = follow()
    tail.take()
    text = line("a")
    append(log, text[:20])
    assert tail.names() == []
    append(log, text[20:-1])
    assert tail.names() == []
    append(log, "\n")
    assert tail.names() == ["a"]


def test_a_rotated_log_is_read_to_its_end_and_the_new_one_from_its_start(follow, log):
    tail = follow()
    tail.take()
    append(log, line("a"))
    assert tail.names() == ["a"]
    log.rename(log.with_suffix(".1"))
    append(log.with_suffix(".1"), line("b") + line("c")[:-1])  # the writer's last words
    assert tail.names() == ["a", "b"]
    append(log, line("d"))
    assert tail.names() == ["a", "b", "c", "d"]


def test_a_rotated_log_is_read_to_its_end_though_a_line_is_longer_than_a_portion(follow, log):
    log.touch()
    tail = follow()
    tail.take()
    append(log, "x" * (3 * log_tail.MAX_LINE_BYTES) + "\n" + line("a"))
    log.rename(log.with_suffix(".1"))
    append(log, line("b"))
    assert tail.names() == ["a", "b"]


def test_a_truncated_log_is_read_from_its_start(follow, log):
    tail = follow()
    tail.take()
    append(log, line("a") + line("b"))
    tail.take()
    os.truncate(log, 0)
    append(log, line("c"))
    assert tail.names() == ["a", "b", "c"]


def test_after_an_orderly_restart_every_line_is_read_once(follow, log):
    first = follow()
    first.take()
    append(log, line("a") + line("b") + line("c")[:30])
    assert first.names() == ["a", "b"]
    first.close()
    append(log, line("c")[30:] + line("d"))
    assert follow().names() == ["c", "d"]


def test_a_log_rotated_while_the_agent_was_away_is_read_to_its_end(follow, log):
    first = follow()
    first.take()
    append(log, line("a"))
    first.take()
    first.close()
    append(log, line("b"))
    log.rename(log.with_suffix(".1"))
    append(log, line("c"))
    assert follow().names() == ["b", "c"]


def test_after_a_kill_only_lines_not_surely_sealed_are_read_again(follow, log):
    first = follow(lag_seconds=0.0)
    first.take()
    append(log, line("a"))
    first.take()
    first.take()
    first._lag = 60.0
    append(log, line("b"))
    assert first.names() == ["a", "b"]
    assert follow().names() == ["b"]  # no close: it was killed


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("not json\n", "not JSON"),
        ("[1]\n", "not a JSON object"),
        ("[" * 100_000 + "\n", "not JSON"),
        ('{"id": "x"}\n', "two of start, end and duration"),
        (line("x", metadata={"usage_object": {"prompt_tokens": "7x"}}), "prompt_tokens: not a number"),
        (line("x", startTime=NOW + 5), "it ends before it starts"),
        (line("x", startTime=1, endTime=2), "is the clock right that wrote it"),
        ("x" * (log_tail.MAX_LINE_BYTES + 1) + "\n", "longer than"),
        ("x" * (3 * log_tail.MAX_LINE_BYTES) + "\n", "longer than"),
        ("\ud800".encode("utf-8", "surrogatepass").decode("latin-1") + "\n", "not JSON"),
    ],
)
def test_a_bad_line_is_counted_told_by_its_place_and_skipped(follow, log, bad, said):
    tail = follow()
    tail.take()
    append(log, line("a") + bad + "\n" + line("b"))
    assert tail.names() == ["a", "b"]
    assert tail.counts == {"recorded": 2, "refused": 1}
    assert f"at byte {len(line('a')):,}" in tail.trouble and said in tail.trouble


def test_a_line_without_an_id_is_named_by_its_content(follow, log):
    tail = follow()
    tail.take()
    text = line("a").replace('"id"', '"other"')
    append(log, text + text)
    first, second = tail.names()
    assert first == second and len(first) == 32


def test_a_place_that_cannot_be_read_begins_at_the_end(follow, log, tmp_path):
    append(log, line("old"))
    follow().take()
    tail = follow()
    tail._kept.write_text("{")
    again = follow()
    append(log, line("new"))
    assert again.names() == []  # it opens the file only now, at its end
    append(log, line("newer"))
    assert again.names() == ["newer"]
