"""The proxy over real sockets: what passes, what is recorded, what never leaves."""

import asyncio
import json
import time

from telemetry.requests import Finish, InFlightRequest, Status, TokenGaps


def test_a_stream_is_timed_by_its_plan(lab, script, speak):
    async def run():
        script.steps = [0.1, speak.HEAD, speak.chunk(speak.delta("", role="assistant")), 0.1]
        for text in ("Hel", "lo", "!"):
            script.steps += [speak.chunk(speak.delta(text)), 0.05]
        script.steps += [speak.chunk(speak.delta(finish="stop") + speak.event("[DONE]")), speak.END]
        async with lab(sample_ratio=1) as it:
            await it.ask()
            record = await it.record()
            (gaps,) = await it.told(1, kind=TokenGaps)
            return record, gaps

    record, gaps = asyncio.run(run())
    assert (record.status, record.finish, record.http_status, record.stream) == (
        Status.OK,
        Finish.STOP,
        200,
        True,
    )
    assert 100_000 <= record.first_byte_us < 180_000
    assert 200_000 <= record.ttft_us < 300_000
    assert record.ttft_us + 100_000 <= record.last_token_us < record.ttft_us + 200_000
    assert record.last_token_us + 50_000 <= record.e2e_us < record.last_token_us + 150_000
    assert (record.chunks, record.output_tokens, record.tokens_estimated) == (3, 3, True)
    assert sum(record.gap_buckets) == len(gaps.gaps_us) == 2
    assert all(45_000 <= gap < 130_000 for gap in gaps.gaps_us) and max(gaps.gaps_us) == record.gap_max_us
    assert record.ended_at_us == record.started_at_us + record.e2e_us
    assert abs(record.ended_at_us - time.time() * 1e6) < 5e6


def test_headers_reach_the_client_before_the_first_token(lab, script, speak):
    async def run():
        script.steps = [speak.HEAD, 0.3, speak.chunk(speak.stream("x")), speak.END]
        async with lab() as it:
            started = time.monotonic()
            async with it.client.post(it.url + "/v1/completions", data=b"{}") as answer:
                headers_after = time.monotonic() - started
                await answer.read()
            return headers_after

    assert asyncio.run(run()) < 0.25


def test_without_injection_every_byte_passes_both_ways(lab, script, speak):
    stream = (
        b": hello\r\n\r\nretry: 5\n\n"
        + speak.stream("a", "b").replace(b"\n", b"\r\n")
        + speak.usage()
        + b"tail"
    )

    async def run():
        script.steps = [
            speak.HEAD,
            *(speak.chunk(stream[at : at + 7]) for at in range(0, len(stream), 7)),
            speak.END,
        ]
        async with lab(include_usage=False) as it:
            reply = await it.ask(b'{ "stream": true,  "model":"m" }', path="/v1/chat/completions?a=%2F&b")
            return reply, await it.record()

    reply, record = asyncio.run(run())
    assert reply.body == stream
    assert (script.heard[0].line, script.heard[0].body) == (
        "POST /v1/chat/completions?a=%2F&b HTTP/1.1",
        b'{ "stream": true,  "model":"m" }',
    )
    assert (record.prompt_tokens, record.cached_tokens, record.output_tokens) == (7, 2, 3)
    assert (record.tokens_estimated, record.chunks) == (False, 2)


def test_usage_is_asked_for_and_taken_out_again(lab, script, speak):
    before, after = speak.stream("a").split(b"data: [DONE]")
    stream = before + speak.usage() + b"data: [DONE]" + after

    async def run():
        script.steps = [
            speak.HEAD,
            *(speak.chunk(stream[at : at + 11]) for at in range(0, len(stream), 11)),
            speak.END,
        ]
        async with lab() as it:
            return await it.ask({"model": "m", "stream": True, "n": 1}), await it.record()

    reply, record = asyncio.run(run())
    assert json.loads(script.heard[0].body)["stream_options"] == {"include_usage": True}
    assert reply.body == speak.stream("a")
    assert (record.prompt_tokens, record.output_tokens, record.tokens_estimated) == (7, 3, False)


def test_a_client_that_asked_for_usage_keeps_it(lab, script, speak):
    async def run():
        script.steps = [speak.HEAD, speak.chunk(speak.stream("a") + speak.usage()), speak.END]
        async with lab() as it:
            return await it.ask({"model": "m", "stream": True, "stream_options": {"include_usage": True}})

    assert asyncio.run(run()).body == speak.stream("a") + speak.usage()


def test_an_answer_in_one_piece_is_recorded(lab, script, speak):
    body = json.dumps(
        {
            "object": "chat.completion",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "length"}
            ],
            "usage": {
                "prompt_tokens": 5,
                "completion_tokens": 2,
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
        }
    ).encode()

    async def run():
        script.steps = [speak.whole(body)]
        async with lab() as it:
            reply = await it.ask({"model": "m", "max_tokens": 2, "priority": -3})
            return reply, await it.record()

    reply, record = asyncio.run(run())
    assert reply.body == body
    assert reply.headers["content-length"] == str(len(body))
    assert script.heard[0].body == b'{"model": "m", "max_tokens": 2, "priority": -3}'
    assert (record.stream, record.ttft_us, record.chunks, record.gap_buckets) == (False, None, None, ())
    assert (record.finish, record.prompt_tokens, record.output_tokens) == (Finish.LENGTH, 5, 2)
    assert (record.reasoning_tokens, record.max_output_tokens, record.priority) == (1, 2, -3)
    assert (record.output_empty, record.tokens_estimated) == (False, False)


def test_an_http_error_passes_and_is_recorded(lab, script, speak):
    async def run():
        script.steps = [
            speak.whole(
                b'{"error":{"message":"slow down"}}', status="429 Too Many", more="Retry-After: 3\r\n"
            )
        ]
        async with lab() as it:
            return await it.ask(), await it.record()

    reply, record = asyncio.run(run())
    assert (reply.status, reply.headers["retry-after"], reply.body) == (
        429,
        "3",
        b'{"error":{"message":"slow down"}}',
    )
    assert (record.status, record.http_status, record.error_class) == (Status.ERROR, 429, "http_429")


def test_an_error_inside_a_stream_is_an_error(lab, script, speak):
    said = b'event: error\ndata: {"error":{"message":"secret words","code":"tool_use_failed"}}\n\n'

    async def run():
        script.steps = [speak.HEAD, speak.chunk(speak.delta("a") + said), speak.END]
        async with lab() as it:
            return await it.ask(), await it.record()

    reply, record = asyncio.run(run())
    assert reply.body == speak.delta("a") + said
    assert (record.status, record.finish, record.http_status) == (Status.ERROR, Finish.ERROR, 200)
    assert record.error_class == "tool_use_failed"


def test_an_upstream_cut_mid_token_cuts_the_client_and_is_an_error(lab, script, speak):
    half = speak.delta("b")[:20]

    async def run():
        script.steps = [speak.HEAD, speak.chunk(speak.delta("a")), speak.chunk(half), 0.05, speak.CUT]
        async with lab(include_usage=False) as it:
            reply = await it.ask()
            record = await it.record()
            return reply, record, await it.told(1, kind=TokenGaps, seconds=0.2)

    reply, record, gaps = asyncio.run(run())
    assert reply.cut and reply.body == speak.delta("a") + half
    assert (record.status, record.error_class, record.http_status) == (Status.ERROR, "upstream_cut", 200)
    assert (record.chunks, record.output_tokens, record.tokens_estimated) == (1, 1, True)
    assert gaps == []


def test_a_stream_that_ends_without_an_end_mark_is_an_error(lab, script, speak):
    async def run():
        script.steps = [speak.HEAD, speak.chunk(speak.delta("a")), speak.END]
        async with lab() as it:
            return await it.ask(), await it.record()

    reply, record = asyncio.run(run())
    assert not reply.cut
    assert (record.status, record.error_class) == (Status.ERROR, "stream_cut")


def test_a_client_that_goes_away_frees_the_upstream_within_100_ms(lab, script, speak):
    async def run():
        script.steps = [speak.HEAD, speak.chunk(speak.delta("a") + speak.delta("b")), speak.UNTIL_GONE]
        async with lab() as it:
            async with it.client.post(
                it.url + "/v1/chat/completions", json={"model": "m", "stream": True}
            ) as answer:
                await answer.content.readany()
                left = time.monotonic()
                answer.close()
            record = await it.record()
            (gaps,) = await it.told(1, kind=TokenGaps)
            return record, gaps, script.gone_at[0] - left

    record, gaps, freed_after = asyncio.run(run())
    assert freed_after < 0.1
    assert (record.status, record.finish, record.http_status) == (Status.ABORTED, Finish.ABORT, 200)
    assert (record.error_class, record.output_tokens, record.tokens_estimated) == ("client_gone", 2, True)
    assert len(gaps.gaps_us) == 1


def test_a_client_that_goes_away_while_queued_is_recorded_too(lab, script, speak):
    async def run():
        script.steps = [speak.UNTIL_GONE]
        async with lab() as it:
            task = asyncio.create_task(it.ask())
            await script.asked.wait()
            task.cancel()
            record = await it.record()
            return record, len(script.gone_at)

    record, gone = asyncio.run(run())
    assert gone == 1
    assert (record.status, record.http_status, record.ttft_us, record.first_byte_us) == (
        Status.ABORTED,
        None,
        None,
        None,
    )


def test_a_client_that_leaves_with_everything_is_no_abort(lab, script, speak):
    async def run():
        script.steps = [speak.HEAD, speak.chunk(speak.stream("a")), speak.UNTIL_GONE]
        async with lab() as it:
            async with it.client.post(
                it.url + "/v1/chat/completions", json={"model": "m", "stream": True}
            ) as answer:
                await answer.content.readany()
                answer.close()
            return await it.record()

    assert asyncio.run(run()).status is Status.OK


def test_an_upstream_that_refuses_gives_502_in_openai_form_and_a_record(lab, free_port):
    async def run():
        async with lab(upstream=f"http://127.0.0.1:{free_port}", host="gpu-host") as it:
            return await it.ask(), await it.record()

    reply, record = asyncio.run(run())
    assert reply.status == 502
    assert json.loads(reply.body)["error"]["code"] == "upstream_refused"
    assert reply.headers["x-request-id"] == record.request_id
    assert (record.status, record.http_status, record.error_class) == (Status.ERROR, 502, "upstream_refused")
    assert record.replica == f"gpu-host:{free_port}"


def test_an_upstream_that_says_nothing_gives_504(lab, script, speak):
    async def run():
        script.steps = [speak.UNTIL_GONE]
        async with lab(upstream_idle_seconds=0.2) as it:
            return await it.ask(), await it.record()

    reply, record = asyncio.run(run())
    assert reply.status == 504
    assert record.error_class == "upstream_timeout"


def test_a_running_request_is_told_of_each_second(lab, script, speak):
    async def run():
        script.steps = [
            speak.HEAD,
            speak.chunk(speak.delta("a")),
            1.6,
            speak.chunk(speak.stream()),
            speak.END,
        ]
        async with lab() as it:
            asking = asyncio.create_task(it.ask(headers={"X-Request-Id": "slow-one"}))
            await script.spoke.wait()
            (snapshot,) = await it.told(1, kind=InFlightRequest)
            page = (await it.ask(method="GET", path="/-/inferometer/metrics")).body.decode()
            await asking
            return snapshot, page

    snapshot, page = asyncio.run(run())
    assert (snapshot.request_id, snapshot.model, snapshot.route) == ("slow-one", "m", "/v1/chat/completions")
    assert snapshot.output_tokens == 1 and 0 < snapshot.ttft_us < 1_000_000
    assert 900_000 <= snapshot.at_us - snapshot.started_at_us < 2_500_000
    assert "inferometer_proxy_in_flight_requests 1\n" in page
    assert float(page.split("\ninferometer_proxy_oldest_request_seconds ")[1].split("\n")[0]) > 0.9


def test_stopping_cuts_what_does_not_end_and_says_so(lab, script, speak):
    async def run():
        script.steps = [speak.HEAD, speak.chunk(speak.delta("a")), speak.UNTIL_GONE]
        async with lab() as it:
            asking = asyncio.create_task(it.ask())
            await script.spoke.wait()
            await asyncio.sleep(0.05)
            await it.serving.proxy.stop()
            return await asking, await it.record()

    reply, record = asyncio.run(run())
    assert reply.cut
    assert (record.status, record.error_class) == (Status.ERROR, "proxy_stopped")


def test_the_text_never_leaves(lab, script, speak, caplog, capfd):
    async def run():
        said = b'data: {"choices":[{"delta":{"content":"ANSWERTEXT"}}]}\n\ndata: {ANSWERTEXT\n\n'
        script.steps = [speak.HEAD, speak.chunk(said), speak.CUT]
        datagrams = []
        async with lab(sample_ratio=1) as it:
            it.receiver._socket.settimeout(5)
            await it.ask(
                {"model": "m", "stream": True, "messages": [{"content": "PROMPTTEXT"}], "user": "PROMPTTEXT"}
            )
            datagrams.append(await asyncio.to_thread(it.receiver._socket.recv, 2**17))
        return datagrams

    (datagram,) = asyncio.run(run())
    captured = capfd.readouterr()
    everything = datagram.decode() + caplog.text + captured.out + captured.err
    assert '"table":"requests"' in everything
    assert "PROMPTTEXT" not in everything and "ANSWERTEXT" not in everything


def test_a_retry_keeps_its_id_on_the_wire_and_has_its_own_in_the_records(lab, script, speak):
    async def run():
        script.steps = [speak.HEAD, speak.chunk(speak.stream("a")), speak.END]
        async with lab() as it:
            replies = [await it.ask(headers={"X-Request-Id": "r"}) for _ in range(2)]
            return replies, await it.told(2)

    replies, records = asyncio.run(run())
    assert [heard.headers["x-request-id"] for heard in script.heard] == ["r", "r"]
    assert [reply.headers["x-request-id"] for reply in replies] == ["r", "r"]
    assert [(one.request_id, one.retry, one.retry_of) for one in records] == [("r", 0, None), ("r#2", 1, "r")]


def test_slow_requests_keep_their_whole_gaps_and_others_do_not(lab, script, speak):
    async def run(slow_seconds):
        pause = [speak.chunk(speak.delta("a")), 0.1, speak.chunk(speak.delta("b"))]
        script.steps = [speak.HEAD, *pause, speak.chunk(speak.stream("c")), speak.END]
        async with lab(sample_ratio=0, slow_seconds=slow_seconds) as it:
            await it.ask()
            await it.record()
            return await it.told(1, kind=TokenGaps, seconds=0.1)

    assert len(asyncio.run(run(0.05))[0].gaps_us) == 2
    assert asyncio.run(run(30)) == []
