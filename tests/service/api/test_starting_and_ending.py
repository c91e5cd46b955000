"""A start that cannot succeed says so in one message; an end leaves nothing hanging."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import httpx
import pytest

FIVE_MISTAKES = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: Bad Name}
spec:
  service: chat
  budgetingMethod: Sometimes
  indicator:
    spec: {limit: soon, kind: ttfft}
  timeWindow: [{duration: 30x, isRolling: true}]
  objectives: [{target: 1.5}]
"""


def test_a_port_that_is_taken_is_named(refused, tmp_path):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        code, words = refused("--port", port, "--data-dir", tmp_path / "d")
    assert code == 1
    assert f"listen on 127.0.0.1:{port}: Address already in use; choose another --port" in words


def test_a_directory_that_another_service_holds_is_named(served, refused):
    code, words = refused("--port", 0, "--data-dir", served.data_dir)
    assert code == 1 and "another process holds it; stop that one first" in words
    assert served.call("GET", "/health").status_code == 200


def test_an_unknown_setting_is_named(refused, tmp_path):
    code, words = refused("--data-dir", tmp_path / "d", PROT="1")
    assert code == 1 and "prot: unknown key; known keys are data_dir" in words


def test_a_price_that_is_none_is_named(refused, tmp_path):
    code, words = refused("--port", 0, "--data-dir", tmp_path / "d", "--price", "H100=cheap")
    assert code == 1 and "'cheap' is not an amount per GPU-hour" in words


def test_every_mistake_of_an_objective_file_is_located(refused, tmp_path):
    (tmp_path / "bad.yaml").write_text(FIVE_MISTAKES)
    code, words = refused("--port", 0, "--data-dir", tmp_path / "d", "--objectives", tmp_path / "bad.yaml")
    assert code == 1
    assert words.count("bad.yaml:") >= 5, words


def test_a_directory_that_cannot_be_one_is_named(refused, tmp_path):
    (tmp_path / "file").write_text("")
    code, words = refused("--port", 0, "--data-dir", tmp_path / "file")
    assert code == 1 and "file" in words and "does not start" in words


def test_a_state_store_that_is_none_is_named(refused, tmp_path):
    (tmp_path / "state.db").write_bytes(b"this is no database, however long one looks at it" * 30)
    code, words = refused("--port", 0, "--data-dir", tmp_path)
    assert code == 1 and "state.db" in words


def test_a_page_that_listens_hears_evaluations_and_is_let_go_at_the_end(serving, tmp_path):
    with serving(tmp_path) as served:
        heard, ended = [], threading.Event()

        def listen():
            with httpx.stream("GET", f"{served.url}/api/v1/stream", timeout=20) as stream:
                heard.extend(line for line in stream.iter_lines() if line.startswith("data: "))
            ended.set()

        threading.Thread(target=listen, daemon=True).start()
        served.until(lambda: served.metric("listeners") == 1)
        served.until(lambda: served.metric("evaluations_total") >= 3)
        began = time.monotonic()
        assert served.stop() == 0
        assert ended.wait(5) and time.monotonic() - began < 8
        assert heard and all(int(line[6:]) > 1_700_000_000_000 for line in heard)
        assert "Traceback" not in served.log() and "ERROR" not in served.log()


def test_a_restart_goes_on_where_the_last_one_ended(serving, tmp_path, batch):
    with serving(tmp_path) as served:
        body = batch(rows=4)
        token = served.token("agent")
        assert served.post(body).json()["outcome"] == "stored"
    with serving(tmp_path, data_dir=served.data_dir) as again:
        assert again.admin == "", "a token is made once"
        assert again.post(body, token=token).json()["outcome"] == "duplicate"
        listed = again.call("GET", "/api/v1/agents").json()
        assert [agent["name"] for agent in listed] == ["a-agent"]


@pytest.mark.parametrize("host", ["::1", "0.0.0.0"])
def test_other_addresses_are_announced_as_they_are_reached(serving, tmp_path, host):
    if host == "::1" and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with serving(tmp_path, HOST=host) as served:
        assert served.url.startswith("http://[::1]:" if host == "::1" else "http://127.0.0.1:")
        assert served.call("GET", "/health").status_code == 200
        assert served.call("GET", "/api/v1/agents").status_code == (200 if host == "::1" else 401)
