"""Whatever answers at the address, the command says what was wrong with it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Stranger(BaseHTTPRequestHandler):
    """Answers every GET and POST with what its server was told to."""

    def do_GET(self):
        status, headers, body = self.server.told
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name its server asks for

    def log_message(self, *_told):
        """Say nothing."""


@pytest.fixture
def stranger():
    """Serve one answer: stranger(status, body, **headers) -> url."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()

    def told(status, body, **headers):
        server.told = (status, headers, body)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield told
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ((200, b"<html>welcome</html>"), "does not answer with JSON"),
        ((302, b""), "302"),
        ((404, b'{"detail": "no such thing"}'), "404: no such thing"),
        ((500, b"oops"), "500: Internal Server Error"),
        ((422, b'{"detail": [{"loc": ["query", "range"], "msg": "too odd"}]}'), "range: too odd"),
        ((401, b"[]"), "INFEROMETER_TOKEN"),
        ((503, b"\xff\xfe"), "503"),
    ],
)
def test_a_strange_answer_is_told(cli, stranger, answer, cause):
    said = cli("alert", "list", "--server", stranger(*answer))
    assert said.code == 1 and cause in said.err


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ((200, b"<html>welcome</html>"), "does not answer with JSON"),
        ((200, b"\xff\xfe"), "does not answer with JSON"),
        ((200, b""), "ended its answer before it was whole"),
        ((404, b"nothing here"), "404: Not Found; is `inferometer up` running there?"),
        ((403, b'{"detail": "for agents"}'), "for agents; give an admin token with --token"),
        ((422, b'{"detail": "range: odd"}'), "422: range: odd"),
    ],
)
def test_a_strange_answer_in_lines_is_told(cli, stranger, answer, cause):
    said = cli("slo", "propose", "--server", stranger(*answer))
    assert said.code == 1 and cause in said.err


def test_a_token_that_cannot_be_one_is_never_sent(cli, monkeypatch):
    monkeypatch.setenv("INFEROMETER_TOKEN", "schlüssel\n")
    said = cli("alert", "list")
    assert said.code == 1 and "token: holds what no token has" in said.err and "schl" not in said.err
