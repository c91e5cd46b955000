"""A hostile metrics page costs its own bad families and nothing else."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.engines import recognise
from collector.engines.vllm import ENGINE
from collector.scraping import exposition
from collector.scraping.engine_mapping import read_ranks
from collector.scraping.exposition import MAX_LABEL_LENGTH, MAX_LINE_BYTES, PageError, family_of, names, parse

GOOD = b"# HELP vllm:num_requests_running running\n# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running 3.0\n"


def running(body):
    page = parse(body, ENGINE.families())
    return read_ranks(ENGINE, page)[0].columns.get("requests_running"), page.faults


@pytest.mark.parametrize(
    "bad",
    [
        b"# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting three\n",
        b'# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting{a="x 3\n',
        b"# TYPE vllm:num_requests_waiting gauge\n...\n",
        b"# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting\n",
        b"# TYPE vllm:num_requests_waiting gauge\n# TYPE vllm:num_requests_waiting counter\nvllm:num_requests_waiting \xff\xfe\n",
        b'vllm:num_requests_waiting{a="' + b"x" * (MAX_LINE_BYTES + 1) + b'"} 3\n',
        b'vllm:num_requests_waiting{a="' + b"x" * (MAX_LABEL_LENGTH + 1) + b'"} 3\n',
    ],
)
@pytest.mark.parametrize("order", ["before", "after"])
def test_a_bad_family_is_told_and_its_neighbour_read(bad, order):
    value, faults = running(bad + GOOD if order == "before" else GOOD + bad)
    assert value == 3
    assert len(faults) == 1 and "vllm:num_requests_waiting" in faults[0]


def test_a_family_nobody_asked_for_may_be_anything():
    assert running(b"# TYPE other counter\nother \xff{{{\n" + GOOD) == (3, [])


def test_a_page_cut_in_the_middle_of_a_line_keeps_what_came_before():
    value, _ = running(GOOD + b"# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usa")
    assert value == 3


def test_the_same_series_twice_is_counted_once_and_told():
    value, faults = running(GOOD + GOOD)
    assert value == 3
    assert "twice" in faults[0]


def test_a_page_of_series_without_headers_is_read():
    assert running(b"vllm:num_requests_running 3\nvllm:num_requests_waiting 1\n") == (3, [])


@pytest.mark.parametrize("body", [b"<!doctype html><html></html>", b"  <html>", b"\0\1\2" + GOOD])
def test_what_is_no_metrics_page_is_refused(body):
    with pytest.raises(PageError, match="not metrics"):
        parse(body, ENGINE.families())


def test_the_number_of_series_is_bounded(monkeypatch):
    monkeypatch.setattr(exposition, "MAX_SERIES", 10)
    body = b"".join(b'vllm:num_requests_running{engine="%d"} 1\n' % rank for rank in range(50))
    page = parse(body, ENGINE.families())
    assert len(page.series["vllm:num_requests_running"]) == 10
    assert "more than" in page.faults[0]


def test_the_number_of_faults_is_bounded():
    names = [name for signal in ENGINE.signals for name in signal.series()]
    body = b"".join(b"# TYPE %s gauge\n%s oops\n" % (name.encode(), name.encode()) for name in names)
    assert 0 < len(parse(body, ENGINE.families()).faults) <= exposition.MAX_FAULTS


_FRAGMENTS = st.sampled_from(
    [b"vllm:num_requests_running", b"# HELP ", b"# TYPE ", b"{", b"}", b'"', b"=", b",", b" ", b"\n", b"\\", b"3",
     b"NaN", b"+Inf", b"engine", b"gauge", b"histogram", b"_bucket", b"le", b"\xff", b"#", b"1e999", b"-1"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(_FRAGMENTS, max_size=40).map(b"".join))
def test_no_page_raises_and_no_value_is_impossible(noise):
    body = GOOD + noise
    recognise(body)
    page = parse(body, ENGINE.families())
    for reading in read_ranks(ENGINE, page):
        assert all(0 <= value < 2**63 for value in reading.columns.values())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_page_error(noise):
    with suppress(PageError):
        parse(noise, ENGINE.families())


@pytest.mark.shared
def test_plain_lines_read_as_the_library_reads_them(shared, monkeypatch):
    pages = sorted((shared / "fixtures" / "engines").glob("*.prom"))
    assert len(pages) == 27

    def read(page):
        body = page.read_bytes()
        return parse(body, {family_of(name) for name in names(body, "")})

    quick = [read(page) for page in pages]
    monkeypatch.setattr(exposition, "_plain", lambda lines: None)
    assert quick == [read(page) for page in pages]


@pytest.mark.parametrize(
    "line",
    [
        b'x{a="}{"} 1',
        b'x{a="\\"} 2",b="c"} 1',
        b'x{a="1"} 5 # {t="}"} 3',
        b"x 1 1700000000",
        b"x{} 1",
        b"x 1_0",
        b'x{a="1",a="2"} 1',
        b"x  +Inf",
        b'x{a="\xff"} 1',
        b"# TYPE x counter\nx 1",
        b"# TYPE x counter\nx_created 1",
        b"# TYPE x_total counter\nx_total 1",
        b"# TYPE y counter\nx 1",
    ],
)
def test_an_odd_line_reads_as_the_library_reads_it(line, monkeypatch):
    quick = parse(line + b"\n", {"x"})
    monkeypatch.setattr(exposition, "_plain", lambda lines: None)
    assert quick == parse(line + b"\n", {"x"})
