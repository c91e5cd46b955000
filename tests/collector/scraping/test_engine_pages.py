"""Every engine's page in one vocabulary: recorded pages against reviewed numbers, hostile ones in words."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import discovery
from collector.engines import engines, recognise
from collector.scraping.engine_mapping import MAX_REPLICAS, read_ranks
from collector.scraping.exposition import PageError
from collector.scraping.saved_page import MAX_PAGE_BYTES, normalise, vocabulary

GOLDEN = Path(__file__).parent / "golden"
PAGES = sorted(path.stem for path in GOLDEN.glob("*.json"))


@pytest.fixture(scope="module")
def golden_of():
    """The very function that wrote the golden files."""
    spec = importlib.util.spec_from_file_location("write_golden", GOLDEN / "write.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.golden


def page(*lines):
    return ("\n".join(lines) + "\n").encode()


@pytest.mark.shared
@pytest.mark.parametrize("name", PAGES)
def test_a_recorded_page_says_what_was_reviewed(engine_page, golden_of, name):
    told = golden_of(normalise(engine_page(f"{name}.prom")))
    assert told == json.loads((GOLDEN / f"{name}.json").read_text())


@pytest.mark.shared
@pytest.mark.parametrize("name", PAGES)
def test_no_family_of_a_recorded_page_goes_unreported(engine_page, name):
    body = engine_page(f"{name}.prom")
    families = normalise(body).families
    assert families.unknown == []
    told = (*families.read, *families.unused, *families.foreign)
    headers = [line.split()[2] for line in body.decode().splitlines() if line.startswith("# TYPE")]
    assert [name for name in headers if not any(name.startswith(family) for family in told)] == []


@pytest.mark.shared
def test_every_recorded_page_has_its_golden_numbers(engine_page):
    folder = Path(__file__).parents[4] / "shared" / "fixtures" / "engines"
    assert sorted(path.stem for path in folder.glob("*.prom")) == PAGES
    assert len(PAGES) == 27


def test_twelve_engines_are_known():
    names = {engine.name for engine in engines()}
    assert sorted(names) == [
        "dynamo",
        "litellm",
        "llamacpp",
        "lmdeploy",
        "nim",
        "ollama",
        "ray",
        "sglang",
        "tgi",
        "triton",
        "trtllm",
        "vllm",
    ]


def test_engines_without_a_recorded_page_say_so():
    assert {engine.name for engine in engines() if not engine.captured} == {"trtllm", "ray", "ollama"}


@pytest.mark.parametrize("engine", engines(), ids=lambda engine: engine.title)
def test_a_family_is_either_read_or_unused(engine):
    read = {name for signal in engine.signals for name in signal.series()}
    assert not read & engine.unused
    assert all(engine.owns(name) for name in engine.unused)
    assert set(engine.expected) <= {signal.column for signal in engine.signals}


def test_a_family_that_nobody_knows_is_told():
    assert normalise(page("sglang:num_running_reqs 1", "sglang:brand_new 2")).families.unknown == [
        "sglang:brand_new"
    ]


def test_a_missing_value_with_a_likely_new_name_is_told():
    (rename,) = normalise(page("sglang:num_running_requests 1", "sglang:token_usage 0.5")).renamed
    assert (rename.value, rename.found, rename.guess) == (
        "requests_running",
        "sglang:num_running_requests",
        True,
    )


def test_every_replica_has_every_word():
    (replica,) = normalise(page("tgi_queue_size 3")).replicas
    assert tuple(replica.values) == vocabulary()
    assert (replica.labels, replica.values["requests_waiting"]) == ({}, 3)


def test_an_engine_that_answers_at_two_paths_of_a_port_is_found_once(web, monkeypatch):
    port = int(web.url.rpartition(":")[2])
    web.answer = page("trtllm_num_requests_running 1")
    here = [replace(engine, ports=(port,)) for engine in engines()]
    monkeypatch.setattr(discovery, "engines", lambda: here)
    (target,) = discovery.local_engines()
    assert target.kind == "trtllm"


def test_the_ranks_of_a_page_are_bounded_and_each_is_told_once():
    body = page(
        *(f'vllm:num_requests_running{{engine="{rank}"}} 1' for rank in (*range(500), "00", "01", "002"))
    )
    ranks = [reading.rank for reading in read_ranks(recognise(body), recognise(body).page(body))]
    assert ranks == list(range(MAX_REPLICAS))


# Hostile pages


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"python_info 1\n", b"<html>", b"\0", b"request_latency 1\n"]
)
def test_a_page_of_no_known_engine_is_refused_in_words(body):
    with pytest.raises(PageError, match=r"known engine|not metrics"):
        normalise(body)


def test_a_page_without_end_is_refused():
    with pytest.raises(PageError, match="at most"):
        normalise(b"vllm:x 1\n" * (MAX_PAGE_BYTES // 9 + 1))


def test_a_page_of_names_without_end_is_refused():
    with pytest.raises(PageError, match="at most"):
        normalise(b"".join(b"vllm:x%d 1\n" % number for number in range(20_001)))


def test_a_line_that_names_no_series_costs_itself_only():
    told = normalise(page("tgi_queue_size 3", "...", "tgi_batch_current_size 1"))
    assert told.replicas[0].values["requests_waiting"] == 3
    assert "names no series" in told.faults[0]


_NOISE = st.sampled_from(
    [engine.signals[0].names[0].encode() for engine in engines() if engine.signals]
    + [
        b"{",
        b"}",
        b'"',
        b"=",
        b" ",
        b"\n",
        b"3",
        b"NaN",
        b"-1",
        b"1e400",
        b"dp_rank",
        b"\xff",
        b"# TYPE ",
        b"...",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_NOISE, max_size=40).map(b"".join))
def test_no_page_is_answered_with_anything_but_values_or_words(noise):
    try:
        told = normalise(noise)
    except PageError:
        return
    numbers = [value for each in told.replicas for value in each.values.values() if value is not None]
    assert all(0 <= value < 2**63 for value in numbers)
