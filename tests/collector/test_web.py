"""A page is fetched within its bounds, or a sentence says why not."""

from __future__ import annotations

import socket
import time

import pytest

from collector.web import WebError, fetch


def test_a_page_is_fetched(web):
    web.answer = b"hello"
    answer = fetch(f"{web.url}/metrics?x=1", timeout_seconds=5)
    assert (answer.status, answer.body) == (200, b"hello")
    assert web.asked[0][0] == "/metrics?x=1"


def test_a_page_above_the_bound_is_refused(web):
    web.answer = b"x" * 5_000
    with pytest.raises(WebError, match=r"more than 4,999 bytes"):
        fetch(web.url, timeout_seconds=5, max_bytes=4_999)


@pytest.mark.parametrize("status", [302, 404, 500])
def test_another_status_than_200_is_refused(web, status):
    web.status, web.headers = status, {"Location": "/elsewhere"}
    with pytest.raises(WebError, match=str(status)):
        fetch(web.url, timeout_seconds=5)
    assert len(web.asked) == 1


def test_a_server_that_drips_is_given_up_at_the_deadline(web):
    def drip(handler, _):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.02)

    web.answer = drip
    begun = time.monotonic()
    with pytest.raises(WebError, match=r"no whole answer within 0.2 s"):
        fetch(web.url, timeout_seconds=0.2)
    assert time.monotonic() - begun < 1


def test_a_server_that_cuts_the_answer_is_told(web):
    def cut(handler, _):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    web.answer = cut
    with pytest.raises(WebError, match="cut 996 bytes before its end"):
        fetch(web.url, timeout_seconds=5)


def test_nobody_listening_is_told_without_credentials():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(WebError) as refused:
            fetch(f"http://user:secret@127.0.0.1:{port}/metrics", timeout_seconds=5)
    assert "secret" not in str(refused.value)
    assert "Connection refused" in str(refused.value)


@pytest.mark.parametrize("url", ["ftp://x/", "http://", "http://x:99999/", "nonsense"])
def test_what_is_no_address_is_told(url):
    with pytest.raises(WebError, match="not an http:// or https:// address"):
        fetch(url, timeout_seconds=5)


def test_an_answer_that_is_not_http_is_told():
    with socket.create_server(("127.0.0.1", 0)) as server:
        import threading

        def answer():
            client, _ = server.accept()
            client.recv(1000)
            client.sendall(b"SSH-2.0-OpenSSH_9\r\n")
            client.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(WebError, match="is it running and listening there"):
            fetch(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout_seconds=5)
