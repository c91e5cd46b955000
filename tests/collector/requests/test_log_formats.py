"""Column maps as data: what they may say, and each mistake told by file, key and what is allowed."""

import pytest

from collector.requests.log_formats import LITELLM, FormatError, format_of
from collector.requests.mapped import FieldSource, RecordError, RecordMaker, RecordMap, look_up
from collector.requests.units import Unit, converted
from telemetry.identity import Vantage
from telemetry.requests import Finish, Status

NOW_US = 1_800_000_000_000_000
TIMES = '[fields]\nstarted_at_us = { from = "t", unit = "unix_ms" }\ne2e_us = { from = "d", unit = "ms" }\n'


@pytest.fixture
def map_file(tmp_path):
    def write(text):
        path = tmp_path / "map.toml"
        path.write_text(text)
        return str(path)

    return write


def made(chosen, **values):
    return RecordMaker(chosen, host="node-1").record(values, request_id="line", now_us=NOW_US)


def test_a_map_reads_a_line_of_a_gateway(map_file):
    chosen = format_of(
        map_file(
            TIMES + 'tenant = ["consumer.name", "key"]\nhttp_status = "status"\n[constants]\npool = "chat"\n'
        )
    )
    record = made(chosen, t=NOW_US / 1_000 - 250, d="250.5", key="acme", status=200)
    assert (record.tenant, record.pool, record.vantage) == ("acme", "chat", Vantage.LOG)
    assert (record.e2e_us, record.ended_at_us) == (250_500, NOW_US + 500)
    assert (record.request_id, record.model, record.status) == ("line", "__unknown__", Status.OK)


@pytest.mark.parametrize(
    ("said", "status", "error_class"),
    [
        ({}, Status.OK, None),
        ({"status": 200}, Status.OK, None),
        ({"status": "-"}, Status.OK, None),
        ({"status": 429}, Status.ERROR, "http_429"),
        ({"status": "503"}, Status.ERROR, "http_503"),
        ({"status": 499}, Status.ABORTED, None),
    ],
)
def test_an_http_status_says_how_a_request_ended(map_file, said, status, error_class):
    chosen = format_of(map_file(TIMES + 'http_status = "status"\n'))
    record = made(chosen, t=NOW_US / 1_000, d=1, **said)
    assert (record.status, record.error_class) == (status, error_class)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[fields]\n", "two of started_at_us, ended_at_us and e2e_us"),
        (TIMES + 'colour = "c"\n', "fields.colour: no such field; there are request_id, tenant"),
        (TIMES + 'ttft_us = "f"\n', "fields.ttft_us: unit must be one of s, ms, us, ns, unix_s"),
        (TIMES + 'prompt_tokens = { from = "p", unit = "ms" }\n', "unit must be one of count"),
        (TIMES + 'tenant = { name = "p" }\n', "name unknown; there are from and unit"),
        (TIMES + "tenant = 3\n", "from must be a name"),
        (TIMES + "tenant = []\n", "from must be a name"),
        (TIMES + "[constants]\nchoices = '2'\n", "only a text can be the same"),
        (TIMES + "[constants]\npool = 3\n", "must be a text"),
        (TIMES + "[other]\n", "other: there are the tables fields and constants"),
        ("fields = 3\n", "fields: there are the tables"),
        ("[fields\n", "not TOML"),
    ],
)
def test_a_mistake_in_a_map_is_told_by_file_and_key(map_file, text, told):
    path = map_file(text)
    with pytest.raises(FormatError) as error:
        format_of(path)
    assert str(error.value).startswith(f"{path}: ") and told in str(error.value)


@pytest.mark.parametrize("name", ["nginx", "absent.toml"])
def test_an_unknown_format_is_told(name):
    with pytest.raises(FormatError, match=rf"{name}: (neither litellm nor|No such file)"):
        format_of(name)


@pytest.mark.parametrize(
    ("value", "unit", "held"),
    [
        (0.1, Unit.SECONDS, 100_000),
        ("0.0000005", Unit.SECONDS, 0),
        (0.0000015, Unit.SECONDS, 2),
        (12, Unit.MILLIS, 12_000),
        (1_999, Unit.NANOS, 2),
        ("2027-01-15T08:00:00Z", Unit.ISO, NOW_US),
        ("2027-01-15T09:00:00.000001+01:00", Unit.ISO, NOW_US + 1),
        ("2027-01-15T08:00:00", Unit.ISO, NOW_US),
        (7.0, Unit.COUNT, 7),
        ("TRUE", Unit.FLAG, True),
        (False, Unit.FLAG, False),
        ("success", Unit.STATUS, Status.OK),
        (["length", "stop"], Unit.FINISH, Finish.LENGTH),
        ("a word nobody knows", Unit.FINISH, None),
        ("RateLimit", Unit.HTTP_STATUS, None),
        ("http://127.0.0.1:8000/v1", Unit.ADDRESS, "node-1:8000"),
        ("https://gpu-7", Unit.ADDRESS, "gpu-7:443"),
        ("gpu-7:9000", Unit.ADDRESS, "gpu-7:9000"),
        ("/v1/chat", Unit.ADDRESS, None),
        ("-", Unit.COUNT, None),
        ("None", Unit.TEXT, None),
        (None, Unit.SECONDS, None),
        ([], Unit.TEXT, None),
    ],
)
def test_a_foreign_value_is_held_exactly_or_is_nothing(value, unit, held):
    assert converted(value, unit, host="node-1") == held


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (True, Unit.SECONDS),
        (-1, Unit.MILLIS),
        (float("inf"), Unit.SECONDS),
        ("1e999999", Unit.SECONDS),
        (10**30, Unit.COUNT),
        (1.5, Unit.COUNT),
        ({"a": 1}, Unit.TEXT),
        ("x" * 201, Unit.TEXT),
        ("a\nb", Unit.TEXT),
        ("maybe", Unit.FLAG),
        ("fine", Unit.STATUS),
        ("yesterday", Unit.ISO),
        (5, Unit.ISO),
    ],
)
def test_a_value_that_cannot_be_held_is_refused(value, unit):
    with pytest.raises(ValueError):
        converted(value, unit, host="node-1")


@pytest.mark.parametrize(
    ("name", "found"),
    [("a.b", 1), ("c.d", 2), ("e.1.f", 3), ("e.9.f", None), ("c.d.x", None), ("nothing", None)],
)
def test_a_dot_is_part_of_a_name_or_leads_into_what_it_names(name, found):
    assert look_up({"a.b": 1, "c": {"d": 2}, "e": [{}, {"f": 3}]}, name) == found


def test_a_duration_wins_over_the_end_and_the_third_time_follows():
    sources = (
        FieldSource("started_at_us", ("s",), Unit.UNIX_MICROS),
        FieldSource("ended_at_us", ("e",), Unit.UNIX_MICROS),
        FieldSource("e2e_us", ("d",), Unit.MICROS),
    )
    chosen = RecordMap(vantage=Vantage.LOG, sources=sources)
    times = [
        made(chosen, s=NOW_US - 9, e=NOW_US, d=5),
        made(chosen, s=NOW_US - 9, e=NOW_US),
        made(chosen, e=NOW_US, d=5),
    ]
    assert [(NOW_US - one.started_at_us, one.e2e_us) for one in times] == [(9, 5), (9, 9), (5, 5)]
    for lacking in ({"s": NOW_US}, {"e": NOW_US}, {"d": 5}, {"s": NOW_US, "e": NOW_US - 1}):
        with pytest.raises(RecordError):
            made(chosen, **lacking)


def litellm(**changes):
    """What LiteLLM 1.109 writes of one request, as captured, what is not looked at left out."""
    plain = {
        "id": "x1",
        "litellm_call_id": "6cca53e9-6b91-4cb8-9ae5-18487f664a56",
        "call_type": "acompletion",
        "stream": None,
        "status": "success",
        "startTime": NOW_US / 1e6 - 2,
        "endTime": NOW_US / 1e6,
        "completionStartTime": NOW_US / 1e6,
        "model": "m",
        "model_group": "",
        "prompt_tokens": 7,
        "completion_tokens": 2,
        "api_base": "http://127.0.0.1:40011/v1",
        "model_parameters": {"max_tokens": 9},
        "error_information": {"error_code": "", "error_class": "", "traceback": ""},
        "metadata": {
            "user_api_key_alias": None,
            "usage_object": {
                "completion_tokens": 2,
                "prompt_tokens": 7,
                "completion_tokens_details": None,
                "prompt_tokens_details": {"audio_tokens": None, "cached_tokens": 3},
            },
        },
        "response": {"choices": [{"index": 0, "finish_reason": "length"}]},
    }
    return made(LITELLM, **plain | changes)


def test_litellm_names_an_answer_that_came_whole_by_saying_nothing():
    record = litellm()
    assert (record.stream, record.ttft_us, record.e2e_us) == (False, None, 2_000_000)
    assert (record.model, record.replica, record.finish) == ("m", "node-1:40011", Finish.LENGTH)
    assert (record.prompt_tokens, record.cached_tokens, record.output_tokens) == (7, 3, 2)
    assert (record.status, record.error_class, record.tenant) == (Status.OK, None, "__unknown__")


def test_litellm_streams_tell_their_first_token():
    record = litellm(stream=True, completionStartTime=NOW_US / 1e6 - 0.5)
    assert (record.stream, record.ttft_us) == (True, 1_500_000)


def test_a_failure_of_litellm_has_no_first_token_and_no_tokens():
    failure = {"error_code": "429", "error_class": "RateLimitError"}
    record = litellm(
        stream=True,
        status="failure",
        error_information=failure,
        metadata={},
        prompt_tokens=0,
        completion_tokens=0,
    )
    assert (record.status, record.http_status, record.error_class) == (Status.ERROR, 429, "RateLimitError")
    assert (record.ttft_us, record.prompt_tokens, record.output_tokens) == (None, None, None)
