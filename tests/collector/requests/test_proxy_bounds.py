"""The proxy at its edges: other paths, long bodies, odd headers, slow clients, several upstreams."""

import asyncio
import subprocess
import sys

from telemetry.requests import Status


def test_other_paths_pass_unmeasured(lab, script, speak):
    async def run():
        script.steps = [
            speak.whole(b"\x1f\x8b opaque", kind="x/y", more="Content-Encoding: gzip\r\nX-A: 1\r\n")
        ]
        async with lab() as it:
            sent = {"Accept-Encoding": "gzip", "Connection": "keep-alive, X-Hop", "X-Hop": "1", "X-Own": "2"}
            reply = await it.ask(method="GET", path="/v1/models", headers=sent)
            return reply, await it.told(1, seconds=0.1)

    reply, records = asyncio.run(run())
    heard = script.heard[0]
    assert (reply.body, reply.headers["x-a"], reply.headers["content-encoding"]) == (
        b"\x1f\x8b opaque",
        "1",
        "gzip",
    )
    assert (heard.headers["accept-encoding"], heard.headers["x-own"]) == ("gzip", "2")
    assert "x-hop" not in heard.headers
    assert records == []


def test_a_long_body_passes_unread_and_is_counted(lab, script, speak):
    body = b'{"model":"m","stream":true,"prompt":"' + b"x" * 300_000 + b'"}'

    async def run():
        script.steps = [speak.HEAD, speak.chunk(speak.stream("a")), speak.END]
        async with lab(inspect_bytes=1000) as it:
            reply = await it.ask(body, headers={"Expect": "100-continue"})
            return reply, await it.record(), it.serving.proxy.recorder.counts.uninspected

    reply, record, uninspected = asyncio.run(run())
    assert script.heard[0].body == body
    assert reply.body == speak.stream("a")
    assert (record.model, record.stream, record.status, uninspected) == ("__unknown__", True, Status.OK, 1)


def test_a_compressed_answer_passes_unread(lab, script, speak):
    async def run():
        script.steps = [speak.whole(b"\x1f\x8bxx", more="Content-Encoding: gzip\r\n")]
        async with lab() as it:
            return await it.ask(), await it.record(), script.heard[0].headers["accept-encoding"]

    reply, record, asked = asyncio.run(run())
    assert (reply.body, asked) == (b"\x1f\x8bxx", "identity")
    assert (record.status, record.output_tokens, record.output_empty) == (Status.OK, None, None)


def test_too_many_in_flight_is_503_and_recorded(lab, script, speak):
    async def run():
        script.steps = [speak.HEAD, 0.3, speak.chunk(speak.stream("a")), speak.END]
        async with lab(max_in_flight=1) as it:
            first = asyncio.create_task(it.ask())
            await script.asked.wait()
            second = await it.ask()
            await first
            return second, await it.told(2)

    second, records = asyncio.run(run())
    assert (second.status, second.headers["retry-after"]) == (503, "1")
    assert {record.error_class for record in records} == {None, "too_many_in_flight"}


def test_a_slow_client_holds_upstream_back_and_bends_no_early_stamp(lab, script, speak):
    event = speak.delta("x" * 10_000)

    async def run():
        script.steps = [
            speak.HEAD,
            *(speak.chunk(event) for _ in range(2000)),
            speak.chunk(speak.stream()),
            speak.END,
        ]
        async with lab() as it, it.client.post(it.url + "/v1/completions", json={"stream": True}) as answer:
            await answer.content.readany()
            await asyncio.sleep(0.3)
            sent_while_unread = len(script.sent_at)
            total = sum([len(data) async for data in answer.content.iter_any()])
            return sent_while_unread, total, await it.record()

    sent_while_unread, total, record = asyncio.run(run())
    assert sent_while_unread < 1900  # 20 MB were on offer; the rest waited upstream
    assert total > 1000 * len(event)
    assert (record.status, record.chunks) == (Status.OK, 2000)


def test_a_client_that_never_reads_is_let_go_and_so_is_its_upstream(lab, script, speak):
    async def run():
        event = speak.chunk(speak.delta("x" * 60_000))
        script.steps = [speak.HEAD, *[event] * 1000, speak.UNTIL_GONE]
        body = {"stream": True}
        async with lab(client_stall_seconds=0.2) as it, it.client.post(it.url + "/v1/completions", json=body):
            return await it.record()

    record = asyncio.run(run())
    assert (record.status, record.error_class) == (Status.ABORTED, "client_gone")


def test_an_upload_that_stalls_is_let_go(lab, script):
    async def run():
        async with lab(client_stall_seconds=0.2) as it:
            host, port = it.url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            record = await it.record()
            assert await reader.read() == b""
            writer.close()
            return record

    assert asyncio.run(run()).status is Status.ABORTED


def test_the_length_of_an_error_is_kept_though_usage_was_asked_for(lab, script, speak):
    async def run():
        script.steps = [speak.whole(b'{"error":{}}', status="400 Bad Request")]
        async with lab() as it:
            return await it.ask({"model": "m", "stream": True})

    assert asyncio.run(run()).headers["content-length"] == "12"


def test_headers_that_are_no_text_do_no_harm(lab, script, speak):
    async def run():
        answer = speak.whole(b"{}", more="X-Odd: caf\u00e9\r\nX-Bad: caf?\r\n")
        script.steps = [answer.replace(b"caf?", b"caf\xe9")]
        async with lab() as it:
            return await it.ask({"model": "m"}, headers={"X-Name": "caf\u00e9"}), await it.record()

    reply, record = asyncio.run(run())
    assert (reply.status, record.status, reply.headers["x-odd"]) == (200, Status.OK, "caf\u00e9")
    assert "x-bad" not in reply.headers


def test_a_head_request_passes_with_its_length(lab, script):
    async def run():
        script.steps = [b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n"]
        async with lab() as it:
            return await it.ask(b"", method="HEAD", path="/v1/models")

    reply = asyncio.run(run())
    assert (reply.status, reply.headers["content-length"], reply.body) == (200, "77", b"")


def test_two_upstreams_take_turns_and_the_record_names_which(lab, script, speak, free_port):
    async def run():
        script.steps = [speak.HEAD, speak.chunk(speak.stream("a")), speak.END]
        async with lab(also=(f"http://127.0.0.1:{free_port}",), replica=("up", "down")) as it:
            replies = [(await it.ask()).status for _ in range(4)]
            records = await it.told(4)
            page = (await it.ask(method="GET", path="/-/inferometer/metrics")).body.decode()
            return replies, [record.replica for record in records], page

    replies, replicas, page = asyncio.run(run())
    assert replies == [200, 502, 200, 200]  # the one that refused is left alone for a while
    assert replicas == ["up", "down", "up", "up"]
    assert 'inferometer_proxy_requests_total{status="error"} 1\n' in page


def test_no_upstream_connection_is_used_twice(lab, script, speak):
    async def run():
        script.steps = [speak.HEAD, speak.chunk(speak.stream("a")), speak.END]
        async with lab() as it:
            for _ in range(2):
                await it.ask()

    asyncio.run(run())
    assert [heard.headers["connection"] for heard in script.heard] == ["close", "close"]


def test_a_keep_alive_comment_is_no_first_byte(lab, script, speak):
    async def run():
        script.steps = [speak.HEAD, speak.chunk(b": keep-alive\n\n"), 0.1]
        script.steps += [speak.chunk(speak.stream("a")), speak.END]
        async with lab() as it:
            return (await it.ask()).body, await it.record()

    body, record = asyncio.run(run())
    assert body.startswith(b": keep-alive\n\n")
    assert record.first_byte_us >= 100_000 and record.chunks == 1


def test_own_pages_are_never_passed_on(lab, script):
    async def run():
        async with lab() as it:
            return [
                (await it.ask(method="GET", path=f"/-/inferometer/{page}")).status
                for page in ("health", "other")
            ]

    assert asyncio.run(run()) == [200, 404]
    assert script.heard == []


def test_the_pure_parts_need_no_http_library():
    code = "import sys; sys.modules['aiohttp'] = None; import collector.requests.exchange, collector.requests.bodies"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_of_many_requests_that_end_in_many_ways_each_gives_one_record(lab, script, speak):
    async def one(it, number):
        wish = {"json": {"model": "m", "stream": True}, "headers": {"X-Request-Id": f"r{number}"}}
        async with it.client.post(it.url + "/v1/chat/completions", **wish) as answer:
            if number % 3 == 0:
                await answer.content.readany()
                answer.close()
            else:
                await answer.read()

    async def run():
        script.steps = [
            speak.HEAD,
            speak.chunk(speak.delta("a")),
            0.5,  # long enough for those who leave, on a busy machine too
            speak.chunk(speak.stream("b")),
            speak.END,
        ]
        async with lab() as it:
            await asyncio.gather(*(one(it, number) for number in range(150)))
            records = await it.told(150)
            level = it.serving.proxy.recorder.level()
            return records, level

    records, level = asyncio.run(run())
    assert sorted(record.request_id for record in records) == sorted(f"r{number}" for number in range(150))
    aborted = {record.request_id for record in records if record.status is Status.ABORTED}
    assert aborted == {f"r{number}" for number in range(0, 150, 3)}
    assert (level.in_flight, level.records_lost.get("overflow", 0)) == (0, 0)
