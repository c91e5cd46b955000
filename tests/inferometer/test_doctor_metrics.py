"""`inferometer doctor --metrics`: one saved page in the vocabulary, or words about why not."""

from __future__ import annotations

import json

import pytest

PAGE = 'sglang:num_running_reqs{dp_rank="1"} 4\nsglang:prompt_tokens_total 7\nsglang:brand_new 1\n'


@pytest.fixture
def saved(tmp_path):
    """Return a writer of a page."""

    def write(text):
        path = tmp_path / "page.prom"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_saved_page_as_json(cli, saved):
    said = cli("doctor", "--metrics", saved(PAGE), "--json")
    told = json.loads(said.out)
    assert said.code == 0
    assert (told["engine"], told["version_range"][0]) == ("sglang", "0.3.5")
    assert [replica["labels"] for replica in told["replicas"]] == [{}, {"dp_rank": "1"}]
    assert told["replicas"][0]["values"]["prompt_tokens_total"] == 7
    assert told["replicas"][1]["values"]["requests_running"] == 4
    assert told["replicas"][1]["values"]["prompt_tokens_total"] is None
    assert "kv_usage_ratio" in told["missing"] and told["renamed"] == []


def test_a_saved_page_for_the_eye(cli, saved):
    said = cli("doctor", "--metrics", saved(PAGE))
    assert said.code == 0
    assert said.out.startswith("SGLang 0.3.5 to") and "dp_rank=1" in said.out
    assert "unknown  sglang:brand_new" in said.out


def test_an_engine_known_from_its_source_alone_is_marked(cli, saved):
    page = saved("trtllm_num_requests_running 1\n")
    assert "TensorRT-LLM (from source, unverified)" in cli("doctor", "--metrics", page).out
    told = json.loads(cli("doctor", "--metrics", page, "--json").out)
    assert told["provenance"] == "from source, unverified"


@pytest.mark.parametrize(
    "text", ["", "other_series 1\n", "<html></html>", b"\0\1", b"\xff" * 99, "{" * 9999, "vllm:" * 99]
)
def test_a_page_that_cannot_be_read_is_told_and_exits_with_one(cli, saved, text):
    said = cli("doctor", "--metrics", saved(text), "--json")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: ") and "Traceback" not in said.err


def test_a_file_that_is_not_there_is_told(cli, tmp_path):
    said = cli("doctor", "--metrics", tmp_path / "none.prom")
    assert said.code == 1 and "No such file" in said.err
    assert cli("doctor", "--metrics", tmp_path).code == 1
