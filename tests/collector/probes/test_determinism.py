"""The determinism probe against a server that answers as it is told to."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from collector.probes.determinism import DeterminismProbe, Target
from collector.requests.socket import RecordReceiver, RecordSender
from inferometer.main import app
from slo.indicators.determinism import Determinism
from telemetry.frame import Frame
from telemetry.requests import Finish, Status


@pytest.fixture
def server():
    """Return a server that takes its answers, (status, body), from `answers` and keeps what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            made.asked.append((self.path, dict(self.headers), json.loads(asked)))
            status, body = made.answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.answers, made.asked = [], []
    thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def probe(server):
    url = f"http://127.0.0.1:{server.server_address[1]}"
    return DeterminismProbe(Target(url=url, model="m", replica="h:1", key="secret"))


def said(text, number=0, finish="stop"):
    """Return a completion of the text; everything else in it differs by number."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    return 200, json.dumps(
        {"id": f"c{number}", "created": number, "choices": [choice], "usage": usage}
    ).encode()


def test_the_first_is_remembered_and_the_others_are_compared_with_it(server, probe):
    server.answers = [said("a"), said("a", 1), said("b", 2), said("c"), said("a"), said("a", finish="length")]
    records = [probe.ask() for _ in range(6)]
    assert [record.workload for record in records] == [None] + ["determinism"] * 5
    found = [record.error_class for record in records]
    assert found == [None, None, "other_answer", "other_answer", None, "other_answer"]
    tally = probe.tally
    assert (tally.same, tally.other, tally.failed, tally.distinct) == (2, 3, 0, 4)
    verdicts = Determinism().judge(Frame.of("requests", records))
    assert (int(verdicts.good.sum()), int(verdicts.total.sum())) == (2, 5)


def test_a_probe_is_marked_and_asks_the_same_every_time(server, probe):
    server.answers = [said("a"), said("a")]
    record = [probe.ask(), probe.ask()][1]
    assert (record.synthetic, record.status, record.finish) == (True, Status.OK, Finish.STOP)
    assert (record.replica, record.prompt_tokens, record.output_tokens) == ("h:1", 7, 3)
    assert record.ended_at_us - record.started_at_us == record.e2e_us > 0
    (path, headers, body), second = server.asked
    assert (path, headers["Authorization"], body["temperature"]) == (
        "/v1/chat/completions",
        "Bearer secret",
        0,
    )
    assert headers["X-Inferometer-Synthetic"]
    assert second[2] == body


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ((500, b"oops"), "http_500"),
        ((429, b'{"error": {"code": "rate_limit"}}'), "rate_limit"),
        ((200, b"not json"), "http_200"),
        ((200, b"[]"), "http_200"),
        ((200, b'{"choices": []}'), "http_200"),
        ((200, b'{"choices": 5}'), "http_200"),
        ((200, b'{"choices": [{"message": {"content": "a"}}]}'), "http_200"),
    ],
)
def test_what_is_no_answer_compares_nothing(server, probe, answer, cause):
    server.answers = [said("a"), answer, said("a")]
    records = [probe.ask() for _ in range(3)]
    assert [record.status for record in records] == [Status.OK, Status.ERROR, Status.OK]
    assert (records[1].error_class, records[1].workload) == (cause, None)
    assert (probe.tally.failed, probe.tally.same, probe.tally.other) == (1, 1, 0)


def test_odd_shapes_are_compared_like_any_answer(server, probe):
    odd = [
        b'{"choices": [{"message": ["a"], "finish_reason": "stop"}, 5]}',
        b'{"choices": [{"finish_reason": "stop"}]}',
    ]
    server.answers = [(200, body) for body in (odd[0], odd[1], odd[0])]
    assert [probe.ask().error_class for _ in range(3)] == [None, "other_answer", None]


def test_a_server_that_is_not_there_is_a_failure_and_no_exception():
    record = DeterminismProbe(Target(url="http://127.0.0.1:9", model="m")).ask()
    assert (record.status, record.error_class, record.http_status) == (Status.ERROR, "unreachable", None)


def test_no_text_of_an_answer_is_kept(server, probe):
    server.answers = [said("a secret answer"), said("another secret")]
    records = [probe.ask(), probe.ask()]
    assert "secret" not in repr(records) + repr(probe.tally) + repr(vars(probe)["_answers"])


def test_its_records_travel_to_the_agent(server, probe, tmp_path):
    server.answers = [said("a"), said("b")]
    receiver = RecordReceiver.open(tmp_path / "records.sock")
    sender = RecordSender(tmp_path / "records.sock")
    records = [probe.ask(), probe.ask()]
    for record in records:
        sender.send(record)
    sender.close()
    assert receiver.receive() == records
    receiver.close()


def test_the_command_asks_as_often_as_it_is_told_and_says_what_it_found(server, tmp_path):
    server.answers = [said("a"), said("a"), said("b")]
    url = f"http://127.0.0.1:{server.server_address[1]}"
    options = [
        "--model",
        "m",
        "--times",
        "3",
        "--every-seconds",
        "0",
        "--socket",
        str(tmp_path / "none.sock"),
    ]
    ran = CliRunner().invoke(app, ["probe", url, *options])
    assert ran.exit_code == 0
    assert (
        "3 answers: 1 the same as the first, 1 other, 2 distinct, 0 failed; 0 told to the agent" in ran.output
    )
