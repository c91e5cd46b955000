"""The fleet behind real HTTP, on this machine's own clock."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from simulator.server import MARK, serving
from simulator.source import gpu_sources, read_fleet
from simulator.specs import StepLaw
from simulator.world import simulate
from telemetry.placement import Placement
from telemetry.requests import RequestRecord
from telemetry.samples import ActivitySource, GpuSample
from telemetry.source import Source
from telemetry.units import MICROS_PER_SECOND as S


@pytest.fixture
def on_fleet(make_fleet):
    """Return a runner of a coroutine `(live, urls, session)` against a served fleet."""

    def run(act, replicas=1, **changes):
        async def within():
            async with (
                serving(make_fleet(replicas, **changes), host="sim") as live,
                aiohttp.ClientSession() as session,
            ):
                urls = [f"http://127.0.0.1:{place.port}" for _, place in live.fleet.replicas()]
                return await act(live, urls, session)

        return asyncio.run(asyncio.wait_for(within(), 30))

    return run


def _ask(words=10, **more):
    return {"model": "sim-small", "messages": [{"role": "user", "content": "word " * words}], **more}


async def _until(holds, seconds=10):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited too long"
        await asyncio.sleep(0.01)


async def _chunks(response):
    lines = [line.strip() async for line in response.content if line.strip()]
    assert all(line.startswith(b"data: ") for line in lines)
    assert lines[-1] == b"data: [DONE]"
    return [json.loads(line[6:]) for line in lines[:-1]]


def _values(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _value(text, name, **labels):
    return _values(text)[
        ("vllm:" + name, *sorted({"engine": "0", "model_name": "sim-small", **labels}.items()))
    ]


def test_a_stream_carries_as_many_tokens_as_its_usage_says(on_fleet):
    async def act(live, urls, session):
        body = _ask(12, stream=True, stream_options={"include_usage": True}, max_tokens=9, ignore_eos=True)
        async with session.post(f"{urls[0]}/v1/chat/completions", json=body) as response:
            assert response.headers["X-Simulated"] == MARK["X-Simulated"]
            return await _chunks(response)

    chunks = on_fleet(act)
    texts = [c["choices"][0]["delta"].get("content") for c in chunks if c["choices"]]
    assert texts[0] == ""
    assert len([text for text in texts if text]) == 9
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["usage"] == {
        "prompt_tokens": 12,
        "completion_tokens": 9,
        "total_tokens": 21,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def test_tokens_come_at_the_simulated_instants(on_fleet):
    async def act(live, urls, session):
        began, stamps = time.perf_counter(), []
        body = _ask(10, stream=True, max_tokens=5, ignore_eos=True)
        async with session.post(f"{urls[0]}/v1/chat/completions", json=body) as response:
            async for line in response.content:
                stamps += [time.perf_counter() - began] * (
                    b'"content":' in line and b'"content":""' not in line
                )
        return stamps

    changes = {"per_sequence_us": 0, "per_context_token_us": 0, "per_prefill_token_us": 0}
    stamps = on_fleet(act, law=StepLaw(fixed_us=50_000, **changes))
    assert len(stamps) == 5
    assert all(stamp >= 0.05 * (place + 1) for place, stamp in enumerate(stamps))
    assert stamps[-1] < 0.05 * 5 + 1


def test_openai_s_own_client_reads_the_answers(on_fleet):
    async def act(live, urls, session):
        client = openai.AsyncOpenAI(base_url=f"{urls[0]}/v1", api_key="none", max_retries=0)
        async with client:
            models = [model.id async for model in client.models.list()]
            whole = await client.chat.completions.create(**_ask(), max_tokens=6)
            plain = await client.completions.create(model="sim-small", prompt="a b c", max_tokens=4)
            stream = await client.completions.create(
                model="sim-small",
                prompt="a b c",
                max_tokens=4,
                stream=True,
                stream_options={"include_usage": True},
            )
            pieces = [chunk async for chunk in stream]
        return models, whole, plain, pieces

    models, whole, plain, pieces = on_fleet(act)
    assert models == ["sim-small"]
    assert len(whole.choices[0].message.content.split()) == whole.usage.completion_tokens
    assert (plain.usage.prompt_tokens, plain.usage.completion_tokens) == (3, 4)
    assert pieces[-1].usage.completion_tokens == sum(bool(c.choices and c.choices[0].text) for c in pieces)


def test_the_metrics_page_parses_and_equals_the_truth(on_fleet):
    async def act(live, urls, session):
        for words in (5, 20, 20):
            await (
                await session.post(f"{urls[0]}/v1/chat/completions", json=_ask(words, max_tokens=7))
            ).read()
        async with session.get(f"{urls[0]}/metrics") as response:
            return await response.text(), live.cluster.replicas[0].engine

    text, engine = on_fleet(act)
    counters = engine.counters
    assert _value(text, "prompt_tokens_total") == counters.prompt_tokens == 45
    assert _value(text, "generation_tokens_total") == counters.generation_tokens
    assert _value(text, "request_success_total", finished_reason="length") == 3
    assert _value(text, "time_to_first_token_seconds_count") == 3
    assert _value(text, "time_to_first_token_seconds_sum") == pytest.approx(counters.ttft.sum_us / S)
    assert _value(text, "time_to_first_token_seconds_bucket", le="+Inf") == 3
    assert _value(text, "inter_token_latency_seconds_count") == counters.itl.count
    assert _value(text, "kv_cache_usage_perc") == 0
    assert _values(text)[("process_start_time_seconds",)] == engine.epoch_us / S
    buckets = [
        value for key, value in _values(text).items() if key[0] == "vllm:e2e_request_latency_seconds_bucket"
    ]
    assert buckets == sorted(buckets)


def test_the_series_names_are_those_of_a_real_vllm(on_fleet, shared):
    async def act(live, urls, session):
        return await (await session.get(f"{urls[0]}/metrics")).text()

    real = (shared / "fixtures/engines/vllm-0.33.0-v1-codedriven.prom").read_text()
    names = {key[0] for key in _values(on_fleet(act))}
    assert names <= {key[0] for key in _values(real)}


def test_hanging_up_aborts_the_request_and_frees_its_blocks(on_fleet, slow):
    async def act(live, urls, session):
        engine = live.cluster.replicas[0].engine
        body = _ask(40, stream=True, max_tokens=80, ignore_eos=True)
        async with session.post(f"{urls[0]}/v1/chat/completions", json=body) as response:
            await response.content.readany()
            assert engine.pool.usage_ratio > 0
        await _until(lambda: not engine.running and engine.pool.usage_ratio == 0)
        return await (await session.get(f"{urls[0]}/metrics")).text()

    assert _value(on_fleet(act, law=slow), "request_success_total", finished_reason="abort") == 1


def test_a_client_that_gives_up_while_waiting_is_forgotten(on_fleet):
    async def act(live, urls, session):
        engine = live.cluster.replicas[0].engine
        await session.post(
            f"{urls[0]}/simulated/fault", json={"kind": "wedge", "replica": "only-0", "for_s": 60}
        )
        asked = asyncio.create_task(session.post(f"{urls[0]}/v1/chat/completions", json=_ask()))
        await _until(lambda: len(engine.waiting) == 1)
        asked.cancel()
        await _until(lambda: not engine.waiting)

    on_fleet(act)


def test_a_wedge_ordered_over_http_holds_while_health_stays_200_and_ends(on_fleet):
    async def act(live, urls, session):
        order = {"kind": "wedge", "replica": "only-0", "for_s": 1.0}
        async with session.post(f"{urls[0]}/simulated/fault", json=order) as answer:
            assert answer.status == 202
        asked = asyncio.create_task(session.post(f"{urls[0]}/v1/chat/completions", json=_ask()))
        await _until(lambda: live.cluster.replicas[0].engine.waiting)
        await asyncio.sleep(0.1)
        wedged = await (await session.get(f"{urls[0]}/metrics")).text()
        health = (await session.get(f"{urls[0]}/health")).status
        return (
            wedged,
            health,
            (await asked).status,
            await (await session.get(f"{urls[0]}/simulated/fault")).json(),
        )

    text, health, status, faults = on_fleet(act)
    running, waiting = _value(text, "num_requests_running"), _value(text, "num_requests_waiting")
    assert (running, waiting, health, status, faults) == (0, 1, 200, 200, [])


def test_a_restart_cuts_streams_and_answers_503_until_it_is_back(on_fleet, slow):
    async def act(live, urls, session):
        body = _ask(10, stream=True, max_tokens=100, ignore_eos=True)
        response = await session.post(f"{urls[0]}/v1/chat/completions", json=body)
        await response.content.readany()
        await session.post(
            f"{urls[1]}/simulated/fault", json={"kind": "restart", "replica": "only-0", "for_s": 0.8}
        )
        with pytest.raises(aiohttp.ClientError):
            await response.read()
        pages = [(await session.get(urls[0] + path)).status for path in ("/health", "/metrics")]
        refused = (await session.post(f"{urls[0]}/v1/chat/completions", json=_ask())).status
        await _until(lambda: live.cluster.replicas[0].engine.up)
        return pages, refused, (await session.get(f"{urls[0]}/health")).status

    assert on_fleet(act, 2, law=slow) == ([503, 503], 503, 200)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ('{"model": "sim-small"', 400, "body"),
        (json.dumps({"messages": []}), 400, "model: Field required"),
        (json.dumps(_ask(n=3)), 400, "n: "),
        (json.dumps(_ask() | {"model": "gpt"}), 404, "does not exist"),
        (json.dumps(_ask(500)), 400, "context_length"),
    ],
)
def test_a_bad_request_is_answered_with_what_is_wrong(on_fleet, body, status, said):
    async def act(live, urls, session):
        async with session.post(f"{urls[0]}/v1/chat/completions", data=body) as answer:
            return answer.status, (await answer.json())["error"]["message"]

    answered, message = on_fleet(act)
    assert answered == status
    assert said in message


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"kind": "wedge", "replica": "nobody"}, "none of that name"),
        ({"kind": "wedge"}, "needs a replica"),
        ({"kind": "overload", "pool": "only"}, "load generator"),
        ({"kind": "flood", "pool": "only"}, "kind: "),
        ({"kind": "wedge", "replica": "only-0", "for_s": 1e9}, "for_s: "),
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_a_reason(on_fleet, order, said):
    async def act(live, urls, session):
        async with session.post(f"{urls[0]}/simulated/fault", json=order) as answer:
            return answer.status, (await answer.json())["error"]["message"]

    status, message = on_fleet(act)
    assert status == 400
    assert said in message


def test_a_source_brings_each_gpu_its_placement_and_its_activity_since_the_last_reading(on_fleet):
    async def act(live, urls, session):
        sources = await asyncio.to_thread(gpu_sources, urls[0])
        assert all(isinstance(source, Source) for source in sources)
        first = [await asyncio.to_thread(source.read, 1 * S) for source in sources]
        await (await session.post(f"{urls[0]}/v1/chat/completions", json=_ask(max_tokens=80))).read()
        second = [await asyncio.to_thread(source.read, 2 * S) for source in sources]
        for source in sources:
            source.close()
        return first, second, live.fleet

    first, second, fleet = on_fleet(act, 2)
    uuids = [gpu.uuid for _, place in fleet.replicas() for gpu in place.gpus]
    assert [[type(record) for record in reading.records] for reading in first] == [[GpuSample, Placement]] * 2
    assert [reading.records[1].gpu_uuid for reading in first] == uuids
    assert [reading.records[1].replica for reading in first] == [place.name for _, place in fleet.replicas()]
    assert [reading.records[0].kernel_busy_ratio for reading in first] == [None, None]
    busy, idle = (reading.records[0] for reading in second)
    assert busy.kernel_busy_ratio > 0
    assert (idle.kernel_busy_ratio, idle.activity_source) == (0, ActivitySource.SIMULATED)
    assert [len(reading.records) for reading in second] == [1, 1]


def test_a_lost_gpu_is_read_as_lost_and_a_gone_simulator_as_a_failed_reading(on_fleet):
    async def act(live, urls, session):
        (source,) = await asyncio.to_thread(gpu_sources, urls[0])
        await session.post(
            f"{urls[0]}/simulated/fault", json={"kind": "gpu_lost", "replica": "only-0", "for_s": 9}
        )
        await _until(lambda: live.cluster.replicas[0].faults)
        return source, await asyncio.to_thread(source.read, S)

    source, lost = on_fleet(act)
    gone = source.read(2 * S)
    source.close()
    assert (lost.health.ok, lost.records[0].up, lost.records[0].power_watts) == (True, False, None)
    assert (gone.health.ok, gone.records) == (False, ())
    assert "is the simulator running?" in gone.health.error


def test_the_fleet_told_over_http_is_the_fleet_served(on_fleet):
    async def act(live, urls, session):
        return live.fleet, await asyncio.to_thread(read_fleet, urls[0])

    served, told = on_fleet(act, 3)
    assert served == told
    assert {place.host for _, place in told.replicas()} == {"sim"}


def test_records_of_the_truth_are_complete(make_fleet, arrival):
    (record,) = simulate(make_fleet(), [arrival()], until_us=S).requests
    assert isinstance(record, RequestRecord)
    assert None not in (
        record.queue_us,
        record.ttft_us,
        record.steps,
        record.step_share_nano,
        record.kv_token_steps,
    )
