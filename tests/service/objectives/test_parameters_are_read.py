"""Parameters of indicators in files: read by the type of their field, refused where they stand."""

from __future__ import annotations

from decimal import Decimal

import pytest
from typer.testing import CliRunner

from inferometer.main import app
from service.objectives.files import parse
from service.objectives.parameters import parameters
from slo.indicators import indicators
from slo.indicators.engine_threshold import EngineThreshold
from slo.indicators.goodput import Goodput, Semantics
from slo.indicators.itl import Itl, Unsure
from slo.indicators.predicate import Predicate
from slo.indicators.token_availability import TokenAvailability
from slo.indicators.ttft_by_prompt import TtftByPrompt
from slo.samples import Op

HEAD, TAIL = "      thresholdMetric", "  timeWindow"


@pytest.fixture
def asking(chat):
    """Return the document with a ratio whose good is a spec of one line each, from line 14 on."""

    def make(*lines, unit="requests"):
        spec = "".join(f"              {line}\n" for line in lines)
        ratio = (
            "      ratioMetric:\n        counter: true\n        good:\n          metricSource:\n"
            f"            type: inferometer\n            spec:\n{spec}"
            f"        total: {{metricSource: {{type: inferometer, spec: {{indicator: {unit}}}}}}}\n"
        )
        return chat[: chat.index(HEAD)] + ratio + chat[chat.index(TAIL) :]

    return make


@pytest.mark.parametrize(
    ("lines", "unit", "indicator"),
    [
        (
            ["indicator: goodput", "ttft: 2s", "semantics: aiperf"],
            "requests",
            Goodput(ttft_us=2_000_000, semantics=Semantics.AIPERF),
        ),
        (["indicator: itl", "limit: 100ms", "unsure: bad"], "gaps", Itl(100_000, Unsure.BAD)),
        (
            ["indicator: token_availability", "failure_tokens: 1_000"],
            "tokens",
            TokenAvailability(1_000),
        ),
        (
            ["indicator: ttft_by_prompt", "base: 4s", "each: 1s", "per: 8192"],
            "requests",
            TtftByPrompt(4_000_000, 1_000_000, 8_192),
        ),
        (
            ["indicator: engine_threshold", "column: kv_usage_ratio", "op: lt", "value: 0.90"],
            "samples",
            EngineThreshold("kv_usage_ratio", Decimal("0.9"), Op.BELOW),
        ),
        (
            [
                "indicator: predicate",
                "holds: >-",
                "  ttft_us < 5 and",
                "  finish != 'length'",
                "among: stream",
            ],
            "requests",
            Predicate("ttft_us < 5 and finish != 'length'", "stream"),
        ),
    ],
)
def test_each_kind_of_parameter(asking, lines, unit, indicator):
    (made,) = parse(asking(*lines, unit=unit), "f")
    assert made.indicator == indicator


def test_a_threshold_may_state_a_limit_beside_other_parameters(chat):
    text = chat.replace("            limit: 2s\n", "            unsure: good\n")
    text = text.replace("indicator: ttft", "indicator: itl").replace(
        "- target", "- op: lte\n      value: 0.1\n      target"
    )
    assert parse(text, "f")[0].indicator == Itl(100_000, Unsure.GOOD)


@pytest.mark.parametrize(
    ("lines", "unit", "line", "cause", "hint"),
    [
        (["indicator: goodput", "ttft: 2s", "semantics: vlm"], "requests", 18, "'vlm' is not one of", "did you mean vllm"),
        (["indicator: token_availability", "failure_tokens: 1.5"], "tokens", 17, "not a whole number", "such as 100"),
        (["indicator: token_availability", "failure_tokens: 0"], "tokens", 17, "not in 1 ..", "such as 100"),
        (["indicator: token_availability"], "requests", 17, "the total counts all tokens", "indicator: tokens"),
        (["indicator: engine_threshold", "column: kv_use_ratio", "value: 1"], "samples", 17, "no number 'kv_use_ratio'", "kv_usage_ratio"),
        (["indicator: engine_threshold", "column: kv_usage_ratio", "value: high"], "samples", 18, "'high' is not a number", "99.9"),
        (["indicator: engine_threshold", "column: kv_usage_ratio"], "samples", 16, "the value of engine_threshold is missing", "value: 0.9"),
        (["indicator: engine_threshold", "column: kv_usage_ratio", "value: 1", "op: le"], "samples", 19, "'le' is not one of", "lte"),
        (["indicator: gpu_absence", "group_by: [model]"], "samples", 17, "gpu_samples have no text column 'model'", "gpu_model"),
        (["indicator: gpu_absence", "tenant: acme"], "samples", 17, "tenant is not a field", "use one of"),
        (["indicator: predicate", "holds: tfft_us < 5"], "requests", 17, "character 1: requests have no column 'tfft_us'", "ttft_us"),
        (["indicator: predicate", "holds: 'ttft_us <'"], "requests", 17, "not a condition", "write one such as"),
        (["indicator: predicate"], "requests", 16, "the holds of predicate is missing", "holds: text"),
        (["indicator: ttft_by_prompt", "base: 4s"], "requests", 16, "the each of ttft_by_prompt is missing", "each: 2s"),
    ],
)  # fmt: skip
def test_each_mistake_is_located_and_explained(asking, mistakes_of, lines, unit, line, cause, hint):
    found = mistakes_of(asking(*lines, unit=unit))
    assert len(found) == 1, found
    assert found[0][0] == line
    assert cause in found[0][2]
    assert hint in found[0][3]


def test_every_parameter_has_a_meaning_and_its_default_reads_back():
    for cls in indicators().values():
        for parameter in parameters(cls):
            assert parameter.meaning
            assert parameter.read(parameter.example) is not None
            assert not parameter.default or parameter.read(parameter.default) is not None


def test_check_accepts_them(asking, tmp_path):
    path = tmp_path / "slo.yaml"
    path.write_text(asking("indicator: itl", "limit: 128ms", unit="gaps"))
    checked = CliRunner().invoke(app, ["slo", "check", str(path)])
    assert checked.exit_code == 0
    assert "99 % of gaps: at most 128ms" in checked.stdout
