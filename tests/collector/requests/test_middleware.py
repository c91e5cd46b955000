"""The middleware inside an application: what passes, what is recorded, and that it does no harm."""

import asyncio
import json
import logging
import os
import subprocess
import sys

import pytest

from collector.requests.bodies import EventBody
from collector.requests.bundle import write_bundle
from collector.requests.middleware import InferometerMiddleware
from telemetry.identity import Vantage
from telemetry.requests import Finish, InFlightRequest, Status

EVENTS = [(b"content-type", b"text/event-stream")]
GONE = {"type": "http.disconnect"}


def _wish(more_body=False, **wish):
    body = json.dumps({"model": "m", **wish}).encode()
    return {"type": "http.request", "body": body, "more_body": more_body}


def _asked(engine, app, says=None, *, scope=None, **settings):
    """Ask once; return what came back and the record."""

    async def run():
        with engine(app, **settings) as it:
            return await it.ask(says, **(scope or {})), await it.record()

    return asyncio.run(run())


def test_a_stream_is_timed_as_the_engine_gives_it(engine, speak):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
        for part in (speak.delta("", role="assistant"), speak.delta("a"), speak.stream("b")):
            await asyncio.sleep(0.05)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    _, record = _asked(engine, app)
    assert 50_000 <= record.first_byte_us < 90_000 and 100_000 <= record.ttft_us < 150_000
    assert record.ttft_us + 50_000 <= record.last_token_us <= record.e2e_us < 250_000
    assert (record.chunks, record.output_tokens, sum(record.gap_buckets)) == (2, 2, 1)
    assert (record.status, record.finish, record.stream) == (Status.OK, Finish.STOP, True)
    assert (record.vantage, record.route) == (Vantage.ENGINE, "/v1/chat/completions")
    assert record.replica == f"{os.uname().nodename}:8000"


def test_usage_is_asked_for_and_taken_out_again(engine, answering, speak):
    answer = speak.stream("a").replace(b"data: [DONE]", speak.usage() + b"data: [DONE]")
    pieces = [answer[at : at + 7] for at in range(0, len(answer), 7)]
    app = answering(pieces, more=[(b"content-length", b"9")])
    talk, record = _asked(engine, app)
    assert talk.body == speak.stream("a")
    assert json.loads(app.heard["body"])["stream_options"] == {"include_usage": True}
    assert dict(app.scope["headers"])[b"content-length"] == str(len(app.heard["body"])).encode()
    assert talk.sent[0]["headers"] == EVENTS  # its length would no longer be true
    assert (record.prompt_tokens, record.output_tokens, record.tokens_estimated) == (7, 3, False)


def test_with_injection_off_nothing_is_changed_either_way(engine, answering, speak):
    stream = speak.stream("a") + speak.usage()
    app = answering([stream[:9], stream[9:]], more=[(b"content-length", b"9")])
    talk, record = _asked(engine, app, include_usage=False)
    assert [message.get("body") for message in talk.sent[1:]] == [stream[:9], stream[9:], None]
    assert (b"content-length", b"9") in talk.sent[0]["headers"]
    assert app.heard == {
        "type": "http.request",
        "body": b'{"model": "m", "stream": true}',
        "more_body": False,
    }
    assert record.output_tokens == 3


def test_an_answer_in_one_piece_is_recorded(engine, answering):
    choice = {"index": 0, "message": {"content": "hi"}, "finish_reason": "length"}
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    body = json.dumps({"choices": [choice], "usage": usage}).encode()
    app = answering([body], kind=b"application/json; charset=utf-8")
    first, second = _wish(more_body=True), {"type": "http.request", "body": b" "}
    talk, record = _asked(engine, app, [first, second])
    assert app.heard["body"] == first["body"] + b" "
    assert talk.body == body
    assert (record.stream, record.ttft_us, record.chunks) == (False, None, None)
    assert (record.finish, record.prompt_tokens, record.output_tokens) == (Finish.LENGTH, 5, 2)


def test_an_http_error_is_recorded_with_its_status(engine, answering):
    app = answering([b"{}"], status=429, kind=b"application/json")
    _, record = _asked(engine, app)
    assert (record.status, record.http_status, record.error_class) == (Status.ERROR, 429, "http_429")


def test_a_client_that_leaves_while_queued_is_an_abort(engine):
    async def app(scope, receive, send):
        await receive()
        assert await receive() == GONE

    _, record = _asked(engine, app, [_wish(stream=True), GONE])
    assert (record.status, record.http_status, record.ttft_us) == (Status.ABORTED, None, None)


def test_a_client_that_leaves_while_it_uploads_is_an_abort(engine, answering):
    _, record = _asked(engine, answering([], "gone"), [_wish(more_body=True), GONE, GONE])
    assert record.status is Status.ABORTED


def test_a_server_that_cancels_tells_of_a_client_that_left(engine, speak):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
        await send({"type": "http.response.body", "body": speak.delta("a"), "more_body": True})
        app.spoke.set()
        await asyncio.Event().wait()

    async def run():
        app.spoke = asyncio.Event()
        with engine(app) as it:
            task = asyncio.create_task(it.ask())
            await app.spoke.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await it.record()

    record = asyncio.run(run())
    assert (record.status, record.output_tokens, record.tokens_estimated) == (Status.ABORTED, 1, True)


def test_a_send_that_fails_tells_of_a_client_that_left(engine, answering, speak):
    async def receive():
        return _wish(stream=True)

    async def send(message):
        raise BrokenPipeError

    async def run():
        with engine(answering([speak.stream("a")])) as it:
            with pytest.raises(BrokenPipeError):
                await it.middleware(it.scope(), receive, send)
            return await it.record()

    assert asyncio.run(run()).status is Status.ABORTED


def test_an_application_that_fails_fails_as_before_and_is_recorded(engine, answering, speak):
    async def app(scope, receive, send):
        raise KeyError("the engine's own")

    async def run():
        with engine(app) as it:
            with pytest.raises(KeyError, match="the engine's own"):
                await it.ask()
            return await it.record()

    record = asyncio.run(run())
    assert (record.status, record.http_status, record.error_class) == (Status.ERROR, 500, "app_error")


def test_a_running_request_is_told_of_each_second_and_seen_on_the_page(engine, speak):
    async def app(scope, receive, send):
        if scope["method"] == "GET":
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
        await send({"type": "http.response.body", "body": speak.delta("a"), "more_body": True})
        await app.free.wait()

    async def run():
        app.free = asyncio.Event()
        with engine(app, pool="p") as it:
            asking = asyncio.create_task(it.ask(headers=[(b"x-request-id", b"slow-one")]))
            (snapshot,) = await it.told(1, kind=InFlightRequest)
            near = await it.ask(path="/-/inferometer/metrics", method="GET")
            far = await it.ask(path="/-/inferometer/metrics", method="GET", client=("8.8.8.8", 1))
            app.free.set()
            await asking
            return snapshot, near.body.decode(), far.sent[0]["status"]

    snapshot, page, far = asyncio.run(run())
    assert (snapshot.request_id, snapshot.vantage, snapshot.pool) == ("slow-one", Vantage.ENGINE, "p")
    assert (snapshot.model, snapshot.output_tokens) == ("m", 1)
    assert "inferometer_middleware_in_flight_requests 1\n" in page
    assert float(page.split("\ninferometer_middleware_oldest_request_seconds ")[1].split("\n")[0]) > 0.9
    assert far == 404


@pytest.mark.parametrize("kind", ["websocket", "lifespan", "http"])
def test_what_is_not_measured_passes_untouched(engine, kind):
    async def app(scope, receive, send):
        app.given = (scope, receive, send)

    async def run():
        with engine(app) as it:
            scope = it.scope(type=kind, path="/v1/models")
            given = (scope, object(), object())
            await it.middleware(*given)
            return app.given == given and app.given[0] is scope, await it.told(1, seconds=0.05)

    assert asyncio.run(run()) == (True, [])


def test_a_long_body_passes_unread_and_is_counted(engine, answering, speak):
    app = answering([speak.stream("a")])
    says = [_wish(more_body=True, stream=True, prompt="x" * 300), {"type": "http.request", "body": b" "}]
    _, record = _asked(engine, app, [dict(one) for one in says], inspect_bytes=100)
    assert app.heard == says[0]
    assert (record.model, record.status, record.stream) == ("__unknown__", Status.OK, True)


def test_a_fault_of_its_own_reaches_nobody_and_loses_no_byte(engine, answering, speak, monkeypatch):
    stream = speak.stream("a", "b", "c")
    pieces = [stream[at : at + 30] for at in range(0, len(stream), 30)]
    take, calls = EventBody.take, []

    def failing(self, data, at_us):
        calls.append(data)
        if len(calls) == 4:
            raise ZeroDivisionError
        return take(self, data, at_us)

    async def run():
        with engine(answering(pieces)) as it:
            monkeypatch.setattr(EventBody, "take", failing)
            broken = await it.ask()
            page = (await it.ask(path="/-/inferometer/metrics", method="GET")).body.decode()
            whole = await it.ask()
            return broken.body, whole.body, page, await it.told(2, seconds=0.2)

    broken, whole, page, records = asyncio.run(run())
    assert broken == whole == stream
    assert "inferometer_middleware_faults_total 1\n" in page
    assert "inferometer_middleware_in_flight_requests 0\n" in page
    assert [record.status for record in records] == [Status.OK]


def test_a_wrong_setting_is_logged_and_the_engine_serves(answering, speak, monkeypatch, caplog):
    monkeypatch.setenv("INFEROMETER_MIDDLEWARE_SOCKET", "/run/x")
    monkeypatch.setenv("INFEROMETER_MIDDLEWARE_COLOUR", "blue")
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return _wish(stream=True)

    scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": []}
    with caplog.at_level(logging.ERROR):
        middleware = InferometerMiddleware(answering([speak.stream("a")]))
    asyncio.run(middleware(scope, receive, send))
    assert sent[1]["body"] == speak.stream("a")
    assert "colour: no such setting" in caplog.text


def test_with_no_agent_the_overflow_is_counted_and_nobody_waits(engine, answering, speak):
    async def run():
        with engine(answering([speak.stream("a")])) as it:
            it.receiver.close()
            for _ in range(4200):
                await it.ask([_wish(stream=True)])
            return it.middleware._sender.lost["overflow"]

    assert 90 <= asyncio.run(run()) <= 104


def test_when_the_lifespan_ends_what_waits_is_sent_and_the_thread_ends(engine, answering, speak):
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await answering([speak.stream("a")])(scope, receive, send)

    async def run():
        with engine(app) as it:
            for _ in range(5):
                await it.ask()
            await it.middleware({"type": "lifespan"}, None, None)
            return len(await it.told(5)), it.middleware._sender.waiting

    assert asyncio.run(run()) == (5, 0)


def test_the_one_file_runs_where_nothing_is_installed(tmp_path):
    write_bundle(tmp_path / "m.zip")
    code = "from collector.requests.middleware import InferometerMiddleware as it; print(it.__module__)"
    told = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(tmp_path / "m.zip")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert told.stdout == "collector.requests.middleware\n"
